package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Errors repeat nothing of a database URL but its hosts, ports and database name. In an ambiguous URL any part may be the password, so
// it is rejected before a connection or a DNS lookup is made.

var errURL = errors.New("the database URL of --database (DRAGOMAN_DATABASE) cannot be read: it is " +
	"postgres://USER:PASSWORD@HOST:5432/NAME, and special characters of the user and the password must be percent-encoded, " +
	"such as %40 for @, %2F for /, %25 for %, %3F for ?, %23 for # and %20 for a space")

// The parts of a postgres:// URL, stricter than pgx: with the characters that RFC 3986 allows in each part, except those that could also
// belong to another part.
var (
	urlParts     = regexp.MustCompile(`^postgres(?:ql)?://(?:([^/@?#]*)@)?([^/@?#]*)(?:/([^/@?#]*))?(?:\?([^@?#]*))?$`)
	urlUser      = regexp.MustCompile(`^(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$`)
	urlHost      = regexp.MustCompile(`^(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]|(?:%2[Ff]|[A-Za-z0-9._-])+)(?::([0-9]*))?$`)
	urlName      = regexp.MustCompile(`^(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*$`)
	urlParameter = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=(?:[A-Za-z0-9._~!$'()*+,;:/-]|%[0-9A-Fa-f]{2})*$`)
)

// checkURL rejects an ambiguous URL.
func checkURL(text string) error {
	parts := urlParts.FindStringSubmatch(text)
	if parts == nil || !urlUser.MatchString(parts[1]) || !urlName.MatchString(parts[3]) || !isPlain(parts[1]) || !isPlain(parts[3]) {
		return errURL
	}
	for host := range strings.SplitSeq(parts[2], ",") {
		found := urlHost.FindStringSubmatch(host)
		if found == nil {
			return errURL
		}
		if port := found[1]; port != "" {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return errURL
			}
		}
	}
	if parts[4] == "" {
		return nil
	}
	for parameter := range strings.SplitSeq(parts[4], "&") {
		if !urlParameter.MatchString(parameter) || !isPlain(parameter) {
			return errURL
		}
	}
	return nil
}

// isPlain reports whether a part, once decoded, is text without control characters.
func isPlain(part string) bool {
	decoded, err := url.PathUnescape(part)
	return err == nil && utf8.ValidString(decoded) && !strings.ContainsFunc(decoded, unicode.IsControl)
}

// CheckURL returns an error for an invalid URL, without connecting. The error repeats nothing of the URL.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL parses text. Its errors repeat nothing of it.
func parseURL(text string) (*pgx.ConnConfig, error) {
	if err := checkURL(text); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, blameParameter(text, err)
	}
	connecting(config)
	return config, nil
}

// fileParameters and otherParameters are those that pgx may reject before it connects.
var (
	fileParameters  = []string{"sslrootcert", "sslcert", "sslkey", "sslpassword", "service", "servicefile", "passfile"}
	otherParameters = []string{
		"sslmode", "sslnegotiation", "sslcertmode", "sslsni", "ssl", "connect_timeout", "target_session_attrs", "min_protocol_version",
		"max_protocol_version", "channel_binding", "require_auth", "port", "host", "default_query_exec_mode",
		"statement_cache_capacity", "description_cache_capacity",
	}
)

// blameParameter finds the parameter for which pgx rejects a well-formed URL: the one without which pgx accepts it. The text of pgx's
// own error (5.12) repeats the value, so only the operating system's error for a file is included.
func blameParameter(text string, err error) error {
	start, query, _ := strings.Cut(text, "?")
	for _, name := range append(fileParameters, otherParameters...) {
		var others []string
		for parameter := range strings.SplitSeq(query, "&") {
			if !strings.HasPrefix(parameter, name+"=") {
				others = append(others, parameter)
			}
		}
		shorter := start
		if len(others) > 0 {
			shorter += "?" + strings.Join(others, "&")
		}
		if shorter == text || shorter+"?" == text {
			continue
		}
		if _, still := pgx.ParseConfig(shorter); still != nil {
			continue
		}
		var file *fs.PathError
		if errors.As(err, &file) {
			return fmt.Errorf("the database URL of --database (DRAGOMAN_DATABASE) cannot be used: its parameter %s names a file that cannot be read: %w", name, file.Err)
		}
		return fmt.Errorf("the database URL of --database (DRAGOMAN_DATABASE) cannot be used: its parameter %s has a wrong value", name)
	}
	return errors.New("the database URL of --database (DRAGOMAN_DATABASE) cannot be used: a parameter of it, or a PG... variable, has a wrong value")
}
