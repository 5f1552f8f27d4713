package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// WorthPage is a page of a list in Worth's dialect.
type WorthPage struct {
	Records    []json.RawMessage
	TotalPages int64
	TotalItems int64
}

// WorthPage reads a page of the list of users, from 1.
func (c *Client) WorthPage(ctx context.Context, number, size int64) (page WorthPage, err error) {
	doing := fmt.Sprintf("page %d of the users", number)
	build := func() (*http.Request, error) {
		return worthclient.NewListCustomerUsersRequest(c.c.server(), worthclient.CustomerID(c.c.Customer), &worthclient.ListCustomerUsersParams{Page: &number, ItemsPerPage: &size})
	}
	err = c.ask(ctx, doing, build, func(answer *http.Response) error {
		if answer.StatusCode != http.StatusOK {
			parsed, err := worthclient.ParseListCustomerUsersResponse(limited(answer))
			if err != nil {
				return apierror.New(answer)
			}
			return parsed.Err()
		}
		body, err := readAll(answer)
		if err != nil {
			return err
		}
		page, err = parseWorthPage(body)
		return err
	})
	return page, err
}

// limited bounds what a client reads of an error.
func limited(answer *http.Response) *http.Response {
	bounded := *answer
	bounded.Body = io.NopCloser(io.LimitReader(answer.Body, 1<<20))
	return &bounded
}

// parseWorthPage reads a page without the records, of which a single one may be malformed.
func parseWorthPage(body []byte) (WorthPage, error) {
	var said struct {
		Data *struct {
			Records    *[]json.RawMessage `json:"records"`
			TotalPages *int64             `json:"total_pages"`
			TotalItems any                `json:"total_items"` // digits as a string, and a number in other versions
		} `json:"data"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&said); err != nil {
		return WorthPage{}, malformedError{fmt.Errorf("the answer is not the JSON of a page, or only a part of it: %w", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return WorthPage{}, malformedError{errMore}
	}
	if said.Data == nil || said.Data.Records == nil || said.Data.TotalPages == nil {
		return WorthPage{}, malformedError{errors.New("the answer has no data.records or no data.total_pages: is --source the URL of Worth's API?")}
	}
	total, err := strconv.ParseInt(fmt.Sprint(said.Data.TotalItems), 10, 64)
	if err != nil || total < 0 {
		return WorthPage{}, malformedError{errors.New("data.total_items of the answer is no number")}
	}
	return WorthPage{*said.Data.Records, *said.Data.TotalPages, total}, nil
}

// WorthUser makes the request that reads a user in Worth's dialect.
func WorthUser(id string) func(Config) (*http.Request, error) {
	return func(c Config) (*http.Request, error) {
		return worthclient.NewGetCustomerUserRequest(c.server(), worthclient.CustomerID(c.Customer), worthclient.UserID(id), nil)
	}
}

// maxElement is the maximum size of one user in a list that is streamed.
const maxElement = 1 << 20

// TestiniumUsers reads the list of users in Testinium's dialect, an array without pages, and calls each with every element. The
// element is valid until each returns. If the answer is cut off, it calls again and reads the list from its beginning.
func (c *Client) TestiniumUsers(ctx context.Context, again func() error, each func(jsontext.Value) error) error {
	customer, company, err := c.c.testiniumIDs()
	if err != nil {
		return err
	}
	build := func() (*http.Request, error) {
		r, err := testiniumclient.NewListUsersRequest(c.c.server(), testiniumclient.CustomerID(customer), &testiniumclient.ListUsersParams{CurrentCompanyID: company})
		if err == nil {
			r.URL.Path += "/" // as the vendor documents it
		}
		return r, err
	}
	return c.ask(ctx, "the list of users", build, func(answer *http.Response) error {
		if answer.StatusCode != http.StatusOK {
			parsed, err := testiniumclient.ParseListUsersResponse(limited(answer))
			if err != nil {
				return apierror.New(answer)
			}
			return parsed.Err()
		}
		if err := again(); err != nil {
			return backoff.Permanent(err)
		}
		return readArray(answer.Body, each)
	})
}

// readArray reads an array element by element.
func readArray(r io.Reader, each func(jsontext.Value) error) error {
	budget := &budget{r: r, left: maxElement}
	d := jsontext.NewDecoder(budget, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	start, err := d.ReadToken()
	if err != nil {
		return cutOff(err)
	}
	if start.Kind() != '[' {
		return malformedError{errors.New("the answer is not an array: is --source the URL of Testinium's API?")}
	}
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return cutOff(err)
		}
		budget.left = maxElement
		if err := each(value); err != nil {
			return backoff.Permanent(err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return cutOff(err)
	}
	switch _, err := d.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return cutOff(err)
	}
	return malformedError{errMore}
}

var errMore = errors.New("the answer has more than one JSON value")

// cutOff describes an error of reading a list. One that is only cut off may be whole the next time.
func cutOff(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, errTooLong):
		return malformedError{err}
	case errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF):
		return malformedError{fmt.Errorf("the answer is not JSON: %w", err)}
	}
	return fmt.Errorf("the list was cut off: %w", err)
}

var errTooLong = fmt.Errorf("a user of the list is longer than %d bytes", maxElement)

// budget bounds what is read until left is set again.
type budget struct {
	r    io.Reader
	left int
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Check returns an error if a dialect writes the customer or the company otherwise.
func (c Config) Check(dialect string) error {
	if dialect == "testinium" {
		_, _, err := c.testiniumIDs()
		return err
	}
	if _, err := uuid.Parse(c.Customer); err != nil {
		return errors.New("a customer of Worth is a UUID: see --customer")
	}
	return nil
}

// testiniumIDs parses the customer and the company.
func (c Config) testiniumIDs() (customer, company int64, err error) {
	if customer, err = strconv.ParseInt(c.Customer, 10, 64); err != nil {
		return 0, 0, errors.New("a customer of Testinium is a number: see --customer")
	}
	if company, err = strconv.ParseInt(c.Company, 10, 64); err != nil {
		return 0, 0, errors.New("requests to Testinium need the company that the caller acts in, a number: set --company")
	}
	return customer, company, nil
}

// TestiniumUser makes the request that reads a user in Testinium's dialect.
func TestiniumUser(id int64) func(Config) (*http.Request, error) {
	return func(c Config) (*http.Request, error) {
		customer, company, err := c.testiniumIDs()
		if err != nil {
			return nil, err
		}
		return testiniumclient.NewGetUserRequest(c.server(), testiniumclient.CustomerID(customer), testiniumclient.UserID(id), &testiniumclient.GetUserParams{CurrentCompanyID: company})
	}
}

// withZone adds the zone to a time of Worth's that lacks it. Such times are in UTC.
func withZone(text string) string {
	if len(text) < len("2006-01-02T15:04:05") || text[10] != 'T' && text[10] != 't' || strings.ContainsAny(text[11:], "Zz+-") {
		return text
	}
	return text + "Z"
}
