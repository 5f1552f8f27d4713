package directory

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// noStore is the Cache-Control header of responses with a secret.
const noStore = "no-store"

// defaultTokens is the maximum number of tokens in a response to a request without a limit.
const defaultTokens = 100

// ListProvisioningTokens returns a page of the tokens of a customer's provisioning clients, without the tokens themselves.
func (h *handler) ListProvisioningTokens(ctx context.Context, r directoryapi.ListProvisioningTokensRequestObject) (directoryapi.ListProvisioningTokensResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if call.Customer.ID == 0 {
		return nil, store.ErrNotFound
	}
	limit := int(orElse(r.Params.Limit, defaultTokens))
	// One more than the page has tells whether there is a next one.
	found, err := h.store.ProvisioningTokensAfter(ctx, call.Customer.ID, orElse(r.Params.After, uuid.Nil), limit+1)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &dialect.InvalidError{Fields: []dialect.FieldError{{Field: "after", Message: "after must be the next of an earlier answer"}}}
	}
	if err != nil {
		return nil, err
	}
	page := directoryapi.ProvisioningTokens{Tokens: []directoryapi.ProvisioningToken{}}
	if len(found) > limit {
		found = found[:limit]
		page.Next = &found[limit-1].ID
	}
	for _, t := range found {
		page.Tokens = append(page.Tokens, toAPIProvisioningToken(t))
	}
	return directoryapi.ListProvisioningTokens200JSONResponse{
		Body:    page,
		Headers: directoryapi.ListProvisioningTokens200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// CreateProvisioningToken issues a token, which no later response shows.
func (h *handler) CreateProvisioningToken(ctx context.Context, r directoryapi.CreateProvisioningTokenRequestObject) (directoryapi.CreateProvisioningTokenResponseObject, error) {
	call := dialect.CallFrom(ctx)
	row := store.ProvisioningToken{Role: orElse(r.Body.Role, ""), Note: orElse(r.Body.Note, "")}
	if r.Body.ExpiresAt != nil {
		at, err := parseTime(*r.Body.ExpiresAt)
		if err != nil {
			return nil, err
		}
		row.ExpiresAt = at
	}
	token, err := call.IssueProvisioningToken(ctx, &row)
	if err != nil {
		return nil, err
	}
	shown := toAPIProvisioningToken(row)
	return directoryapi.CreateProvisioningToken201JSONResponse{
		Body: directoryapi.IssuedProvisioningToken{
			Token: token, ID: shown.ID, Role: shown.Role, Note: shown.Note,
			CreatedAt: shown.CreatedAt, ExpiresAt: shown.ExpiresAt,
		},
		Headers: directoryapi.CreateProvisioningToken201ResponseHeaders{CacheControl: noStore, DragomanIgnored: call.Ignored()},
	}, nil
}

// RevokeProvisioningToken revokes a token.
func (h *handler) RevokeProvisioningToken(ctx context.Context, r directoryapi.RevokeProvisioningTokenRequestObject) (directoryapi.RevokeProvisioningTokenResponseObject, error) {
	if err := dialect.CallFrom(ctx).RevokeProvisioningToken(ctx, r.TokenID); err != nil {
		return nil, err
	}
	return directoryapi.RevokeProvisioningToken204Response{}, nil
}

// checkNewToken checks what the schema of a new token does not: that there is such a role, and that the time is one.
func checkNewToken(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, _ dialect.Parameters) (wrong []dialect.FieldError) {
		if name, ok := c.Body["role"].(string); ok {
			if _, known := roles.ByName(name); !known {
				wrong = append(wrong, dialect.FieldError{Field: "role", Message: "role is not a role: " + strconv.Quote(dialect.Excerpt(name))})
			}
		}
		if text, ok := c.Body["expiresAt"].(string); ok {
			if _, err := parseTime(text); err != nil {
				wrong = append(wrong, dialect.FieldError{Field: "expiresAt", Message: "expiresAt must be " + dialect.TimeForm})
			}
		}
		return wrong
	}
}

func parseTime(text string) (time.Time, error) { return time.Parse(time.RFC3339, text) }

func toAPIProvisioningToken(t store.ProvisioningToken) directoryapi.ProvisioningToken {
	return directoryapi.ProvisioningToken{
		ID: t.ID, Role: t.Role, Note: t.Note, CreatedAt: toAPITime(t.CreatedAt), CreatedBy: t.CreatedBy, ExpiresAt: toAPITime(t.ExpiresAt),
		RevokedAt: toAPITimeOrNil(t.RevokedAt), LastUsedAt: toAPITimeOrNil(t.LastUsedAt),
	}
}

func toAPITime(t time.Time) string { return t.Format(store.TimeLayout) }

func toAPITimeOrNil(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return new(toAPITime(*t))
}
