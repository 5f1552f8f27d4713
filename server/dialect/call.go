package dialect

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// Call is a request to an operation: who calls, about which customer, and what they sent, once it has passed every stage. It is the
// context of the work on it, which makes one object of both.
type Call struct {
	context.Context

	Principal auth.Principal
	Customer  store.Customer // the zero value if the token names a customer that the directory does not have
	Company   store.Company  // the zero value in a dialect without companies
	Body      map[string]any // the body's members exactly as sent, for what the generated type cannot tell: null or absent

	dialect     *Dialect
	operation   string // its operationId
	changed     string // as the answer's Dragoman-Changed says it
	ifMatch     entityTags
	ifNoneMatch entityTags
	strict      bool
	many        bool // the request is about no one customer
	unknown     []string
	origin      store.Origin
	answer      http.ResponseWriter

	flight *InFlight // where the request counts; nil until it does
	caller uint64    // its key there
	bytes  int64     // and what of its body counts

	contentUnwanted bool // the answer's content is not sent

	limit   time.Duration // for how long the work may stand still
	overdue *time.Timer   // ends it then; nil if there is no limit
	cancel  context.CancelCauseFunc
}

type callKey struct{}

// Value gives the call itself and its origin to who has their keys.
func (c *Call) Value(key any) any {
	switch key.(type) {
	case callKey:
		return c
	case store.OriginKey:
		return &c.origin
	}
	return c.Context.Value(key)
}

// CallFrom gives the call of a handler's context. Only a handler behind Mount's stages may ask.
func CallFrom(ctx context.Context) *Call { return ctx.Value(callKey{}).(*Call) }

// readPreferences takes from the parameters what every dialect honours alike, and gives what is wrong with it.
func (c *Call) readPreferences(p Parameters) []FieldError {
	if header, ok := p[headerPrefer].(string); ok {
		c.strict = prefersStrict(header)
	}
	var wrong []FieldError
	for _, h := range [...]struct {
		name string
		tags *entityTags
	}{{headerIfMatch, &c.ifMatch}, {headerIfNoneMatch, &c.ifNoneMatch}} {
		if header, ok := p[h.name].(string); ok {
			if *h.tags, ok = parseEntityTags(header); !ok {
				wrong = append(wrong, FieldError{Field: h.name, Message: h.name + " must be * or entity tags in double quotes"})
			}
		}
	}
	return wrong
}

// Edit is what a dialect's write does to a user.
type Edit struct {
	// Apply edits u, and gives an error if a rule of the directory is against it: a *RuleError. It must be pure, as it
	// runs again when another writer was first.
	Apply func(u *store.User) error
	// Ignored gives the server-owned members of the body whose value is not the one that the answer for u will show;
	// nil for a dialect that has none.
	Ignored func(u *store.User) []string
	// UsernameFollowsEmail is store.Change's.
	UsernameFollowsEmail bool
}

// Written is the headers of a write's answer.
type Written struct {
	ETag    string
	Changed string  // Dragoman-Changed
	Ignored *string // Dragoman-Ignored; nil if nothing was
}

// UpdateUser writes edit to the user of key in one step: in the very transaction that writes it, the user is held
// against If-Match and If-None-Match, then against what the caller's rank allows, then against the dialect's own rules, in this order
// of refusals.
func (c *Call) UpdateUser(ctx context.Context, key store.UserKey, edit Edit) (store.User, Written, error) {
	if err := c.checkStanding(ctx); err != nil {
		return store.User{}, Written{}, err
	}
	ignored := c.unknown
	user, changed, err := c.dialect.service.Store.UpdateUser(ctx, key, c.change(edit, &ignored))
	if err != nil {
		return store.User{}, Written{}, fmt.Errorf("update user: %w", err)
	}
	w := written(user, c.dialect.names(changed), ignored)
	c.changed = w.Changed
	return user, w, nil
}

// checkStanding refuses a write by a caller whom the token names as a user of the directory, of whichever customer, if that user
// is not ACTIVE or one of the three flags is false. A token that names nobody of the directory is not concerned: its issuer may
// keep its users elsewhere. It is asked before the body is read and again before the write, as a body may take long to arrive.
func (c *Call) checkStanding(ctx context.Context) error {
	id, ok := c.Principal.UserID()
	if !ok {
		return nil
	}
	suspended, err := c.dialect.service.Store.Suspended(ctx, id)
	if err != nil {
		return err
	}
	if suspended {
		return fmt.Errorf("%w: the caller is a user who is not active, or is locked or expired", auth.ErrForbidden)
	}
	return nil
}

// CheckUpdate returns the error for which UpdateUser would refuse the edit at the moment, nil if it would not. It writes
// nothing. A handler asks beforehand where its own work would tell the caller something that the refusal does not.
func (c *Call) CheckUpdate(ctx context.Context, key store.UserKey, edit Edit) error {
	if err := c.checkStanding(ctx); err != nil {
		return err
	}
	ignored := c.unknown
	if err := c.dialect.service.Store.CheckUpdate(ctx, key, c.change(edit, &ignored)); err != nil {
		return fmt.Errorf("check update: %w", err)
	}
	return nil
}

// RehearseUpdate returns the error for which UpdateUser would fail, nil if it would not: it does all that UpdateUser does and then
// rolls back.
func (c *Call) RehearseUpdate(ctx context.Context, key store.UserKey, edit Edit) error {
	if err := c.checkStanding(ctx); err != nil {
		return err
	}
	ignored := c.unknown
	if err := c.dialect.service.Store.RehearseUpdate(ctx, key, c.change(edit, &ignored)); err != nil {
		return fmt.Errorf("rehearse update: %w", err)
	}
	return nil
}

// change is what an edit does in the store. It sets what of the body is ignored.
func (c *Call) change(edit Edit, ignored *[]string) store.Change {
	return store.Change{
		Actor:                c.Principal.Actor(),
		UsernameFollowsEmail: edit.UsernameFollowsEmail,
		Edit: func(u *store.User) error {
			before := *u
			refused := edit.Apply(u)
			if err := c.mayWrite(&before, u); err != nil {
				return err
			}
			if edit.Ignored == nil {
				return refused
			}
			owned := edit.Ignored(&before)
			*ignored = slices.Sorted(slices.Values(slices.Concat(c.unknown, owned)))
			if c.strict && len(owned) > 0 {
				return joinRules(refused, &RuleError{Fields: ignoredErrors(owned)})
			}
			return refused
		},
	}
}

// mayWrite returns an error unless the caller may turn the user before into the user after: it evaluates the preconditions,
// then compares what changes with what the caller's rank allows.
func (c *Call) mayWrite(before, after *store.User) error {
	if !c.ifMatch.allow(before.Version) || c.ifNoneMatch.have(before.Version) {
		return errPreconditionFailed
	}
	return c.dialect.service.Policy.CheckWrite(c.Principal, before, after)
}

// CreateUser adds u to the call's customer, on the caller's behalf, if the caller's rank allows it.
func (c *Call) CreateUser(ctx context.Context, u *store.User) error {
	if err := c.checkStanding(ctx); err != nil {
		return err
	}
	s := c.dialect.service
	if err := s.Policy.CheckWrite(c.Principal, nil, u); err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	u.CustomerID = c.Customer.ID
	u.CreatedBy = c.Principal.Actor()
	u.UpdatedBy = u.CreatedBy
	if err := s.Store.CreateUser(ctx, u); err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	return nil
}

func written(u store.User, changed, ignored []string) Written {
	w := Written{ETag: ETag(u.Version), Changed: listNames(changed)}
	w.Ignored = ignoredHeader(ignored)
	return w
}

func ignoredHeader(members []string) *string {
	if len(members) == 0 {
		return nil
	}
	list := listNames(members)
	return &list
}

// CacheControl is what answers about users say: they are for one caller, who must ask again each time.
const CacheControl = "private, no-cache"

// Manages tells whether the caller manages others: it sets passwords without the present one.
func (c *Call) Manages() bool { return c.dialect.service.Policy.Manages(c.Principal) }

// SeesAccessToken reports whether the caller is shown the access token of u.
func (c *Call) SeesAccessToken(u *store.User) bool {
	return c.dialect.service.Policy.SeesAccessToken(c.Principal, u.Roles)
}

// Unknown gives the paths of the members that the document does not name.
func (c *Call) Unknown() []string { return c.unknown }

// Scope is all customers that the caller's token is for.
func (c *Call) Scope() store.FeedScope { return c.dialect.service.Policy.Scope(c.Principal) }

// CheckRead evaluates the preconditions of a read of a user who is at this version, in the order of RFC 9110, section 13.2.2.
// If If-Match is false it returns an error, whose answer is 412. If If-None-Match is false, notModified is true: the answer is
// then 304.
func (c *Call) CheckRead(version int64) (notModified bool, err error) {
	if !c.ifMatch.allow(version) {
		return false, errPreconditionFailed
	}
	return c.ifNoneMatch.have(version), nil
}

// isConditional reports whether preconditions came with the request to something that exists. Of a customer that the directory
// does not have the handler says so, whatever the preconditions are.
func (c *Call) isConditional() bool {
	return (c.ifMatch.present || c.ifNoneMatch.present) && (c.Customer.ID != 0 || c.many)
}

// ContentUnwanted reports whether the content of the answer is not sent, as to a HEAD. A handler that streams may stop once
// the header of the answer can no longer depend on what would follow.
func (c *Call) ContentUnwanted() bool { return c.contentUnwanted }

// Ignored gives Dragoman-Ignored for a body of which nothing but unknown members was ignored; nil if there were none.
func (c *Call) Ignored() *string { return ignoredHeader(c.unknown) }

// NamesKnownMember tells whether at least one member of the body is one that the document names.
func (c *Call) NamesKnownMember() bool {
	for name := range c.Body {
		if _, unknown := slices.BinarySearch(c.unknown, join("", name)); !unknown {
			return true
		}
	}
	return false
}

// names gives the dialect's names of fields, each once, without those that it cannot name.
func (d *Dialect) names(fields []store.Field) []string {
	var names []string
	for _, f := range fields {
		if name := d.FieldName(f); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func ignoredErrors(members []string) []FieldError {
	var all []FieldError
	for _, m := range members {
		all = append(all, FieldError{Field: m, Message: m + " would be ignored"})
	}
	return all
}

// joinRules makes one error of a dialect's refusal and another.
func joinRules(refused error, more *RuleError) error {
	if rule, ok := refused.(*RuleError); ok {
		return &RuleError{Fields: slices.Concat(rule.Fields, more.Fields)}
	}
	if refused != nil {
		return refused
	}
	return more
}
