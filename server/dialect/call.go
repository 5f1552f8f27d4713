package dialect

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Call is a request to an operation: the caller, the customer, and the body, all of which are set once the request has passed
// every stage. It is also the request's context, which saves an allocation.
type Call struct {
	context.Context

	Principal auth.Principal
	Customer  store.Customer // the zero value if the token names a customer that the directory does not have
	Company   store.Company  // the zero value in a dialect without companies
	Body      map[string]any // the body's members exactly as sent; unlike the generated type, it distinguishes null from absent

	dialect     *Dialect
	operation   string // its operationId
	changed     string // the value of the response's Dragoman-Changed header
	ifMatch     entityTags
	ifNoneMatch entityTags
	strict      bool
	dryRun      bool          // nothing is written
	replaces    bool          // the method is PUT
	merge       bool          // a write with a stale If-Match is merged, if it is not in conflict
	merged      bool          // it was
	conflicts   []store.Field // for which it was not
	many        bool          // the request is not about a single customer
	concerns    *int64        // whose matter a request that is not about a single customer turned out to be; nil if it is not known
	unknown     []string      // the paths of the body's members that the document does not name
	origin      store.Origin
	request     *http.Request
	response    http.ResponseWriter

	flight *InFlight // counts the request; nil until it does
	caller uint64    // the caller's key in flight
	bytes  int64     // the number of body bytes that flight counts

	repeatable *repeatable // nil unless the request has an idempotency key
	replayed   bool        // the response is that of an earlier request with the key

	contentUnwanted bool // the content of the response is discarded

	idleTimeout time.Duration // how long the call may go without progress
	idleTimer   *time.Timer   // cancels the context after idleTimeout; nil if there is no limit
	cancel      context.CancelCauseFunc
}

type callKey struct{}

// Value returns the call for callKey and its origin for store.OriginKey.
func (c *Call) Value(key any) any {
	switch key.(type) {
	case callKey:
		return c
	case store.OriginKey:
		return &c.origin
	}
	return c.Context.Value(key)
}

// CallFrom returns the call in a handler's context. It panics unless the handler runs behind the stages that Mount returned.
func CallFrom(ctx context.Context) *Call { return ctx.Value(callKey{}).(*Call) }

// readPreferences reads the headers that have the same meaning in every dialect, Prefer, If-Match and If-None-Match, and
// returns what is wrong with them.
func (c *Call) readPreferences(p Parameters) []FieldError {
	if header, ok := p[headerPrefer].(string); ok {
		c.strict, c.merge = prefersStrict(header), prefersMerge(header)
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

// Edit is a dialect's change of a user.
type Edit struct {
	// Apply edits u. It returns a *RuleError if the edit breaks a rule of the directory. It must be pure, since it is called
	// again if another writer changed the user first.
	Apply func(u *store.User) error
	// Ignored returns the server-owned members of the body whose values differ from those that the response will show for u.
	// It is nil for a dialect without such members.
	Ignored func(u *store.User) []string
	// UsernameFollowsEmail is passed on as [store.Change.UsernameFollowsEmail].
	UsernameFollowsEmail bool
	// Password is set beside what Apply does; nil sets none.
	Password *NewPassword
	// Restores says that the user may be one whom the dialect hides, and that the request's preconditions are not about the user. The
	// request creates what the client takes for a new user.
	Restores bool

	setPassword func(u *store.User) error // carries out Password; nil does nothing
}

// apply edits u, password included.
func (e Edit) apply(u *store.User) error {
	if err := e.Apply(u); err != nil || e.setPassword == nil {
		return err
	}
	return e.setPassword(u)
}

// Written holds the headers of the response to a write.
type Written struct {
	ETag    string
	Changed string  // Dragoman-Changed
	Ignored *string // Dragoman-Ignored; nil if nothing was ignored
}

// UpdateUser applies edit to the user with this key. Within the transaction that writes the user, it evaluates If-Match and
// If-None-Match, then checks the caller's rank, then the dialect's own rules. The first failure in this order is returned. In a dry run
// it returns the same and writes nothing.
//
// If If-Match is false and the request prefers a merge, the edit is merged with what was written since that version, and the rest is
// checked of the result. If it cannot be, or the request does not prefer it, the error says what changed, if the caller may read the user.
func (c *Call) UpdateUser(ctx context.Context, key store.UserKey, edit Edit) (store.User, Written, error) {
	switch {
	case edit.Password == nil || edit.setPassword != nil:
	case c.dryRun:
		c.assumePassword(&edit)
	default:
		user, written, err := c.updatePassword(ctx, key, edit)
		if err != nil {
			err = c.explain(ctx, key, edit, err)
		}
		return user, written, err
	}
	if err := c.checkStanding(ctx); err != nil {
		return store.User{}, Written{}, err
	}
	ignored := c.unknown
	user, changed, err := c.updateUser(ctx, key, c.change(edit, &ignored))
	if err != nil {
		return store.User{}, Written{}, c.explain(ctx, key, edit, fmt.Errorf("update user: %w", err))
	}
	w := written(user, c.dialect.names(changed), ignored)
	c.changed = w.Changed
	return user, w, nil
}

// UpdateUsers applies an edit to several users of the call's customer in one transaction, to all or to none, on the caller's behalf, if
// the caller's rank allows each. The request's preconditions are not about the users. It returns store.ErrNotFound for one whom the
// dialect hides. In a dry run it checks the users and writes nothing. member is what the dialect calls that which the edit changes, and
// Changed is all that the headers have.
func (c *Call) UpdateUsers(ctx context.Context, ids []int64, member string, apply func(u *store.User) error) (Written, error) {
	if err := c.checkStanding(ctx); err != nil {
		return Written{}, err
	}
	s := c.dialect.service
	changed, err := c.updateUsers(ctx, ids, store.Change{Actor: c.Principal.Actor(), Edit: func(u *store.User) error {
		if c.hides(u, Edit{}) {
			return store.ErrNotFound
		}
		before := *u
		refused := apply(u)
		if err := s.Policy.CheckWrite(c.Principal, &before, u); err != nil {
			return err
		}
		return refused
	}})
	if err != nil {
		return Written{}, fmt.Errorf("update users: %w", err)
	}
	var w Written
	if len(changed) > 0 {
		w.Changed = member
	}
	c.changed = w.Changed
	return w, nil
}

// IsDryRun reports whether the call writes nothing.
func (c *Call) IsDryRun() bool { return c.dryRun }

// checkStanding returns an error if the token names a user of the directory who is not ACTIVE or has one of the three account flags
// false, or a user of a customer that the token's issuer may not speak for. It accepts a token that names no user of the directory,
// since its issuer may keep its users elsewhere. It is called before the body is read and again before the write, since a body may take long to arrive.
func (c *Call) checkStanding(ctx context.Context) error {
	id, ok := c.Principal.UserID()
	if !ok {
		return nil
	}
	standing, err := c.dialect.service.Store.Standing(ctx, id)
	switch {
	case err != nil:
		return err
	// This case must be the first: an issuer must not learn of other customers' users whether they are suspended.
	case standing.Customer.ID != 0 && !c.dialect.service.Policy.MayActAs(c.Principal, standing.Customer):
		return fmt.Errorf("%w: the token names a user of a customer that its issuer may not speak for: see customers of the item of issuers, and --claim-user-id", auth.ErrForbidden)
	case standing.Suspended:
		return fmt.Errorf("%w: the caller is a user of the directory who is inactive, locked or expired", auth.ErrForbidden)
	}
	return nil
}

// change returns the store's change for an edit. When it is applied, it sets ignored to the members of the body that are
// ignored.
func (c *Call) change(edit Edit, ignored *[]string) store.Change {
	change := store.Change{
		Actor:                c.Principal.Actor(),
		UsernameFollowsEmail: edit.UsernameFollowsEmail,
		Edit: func(u *store.User) error {
			c.merged = false
			if c.hides(u, edit) {
				return store.ErrNotFound
			}
			before := *u
			refused := edit.apply(u)
			if !edit.Restores && (!c.ifMatch.allow(before.Version) || c.ifNoneMatch.have(before.Version)) {
				return errPreconditionFailed
			}
			return c.checkEdit(&before, u, edit, refused, ignored)
		},
	}
	if c.merge && c.ifMatch.present && !edit.Restores {
		change.Base = func(u *store.User) int64 {
			if c.ifMatch.allow(u.Version) || c.ifNoneMatch.have(u.Version) || c.hides(u, edit) {
				return 0
			}
			return c.baseVersion(u)
		}
		change.Merge = func(u *store.User, past *store.Past) error {
			if past == nil {
				return errPreconditionFailed
			}
			before := *u
			merged, refused := past.Merge(u, edit.Apply, c.replaces)
			if !merged {
				return errPreconditionFailed
			}
			c.merged = true
			if refused == nil && edit.setPassword != nil {
				refused = edit.setPassword(u)
			}
			return c.checkEdit(&before, u, edit, refused, ignored)
		}
	}
	return change
}

// hides reports whether the dialect has no such user for an edit.
func (c *Call) hides(u *store.User, edit Edit) bool {
	return c.dialect.Hides != nil && !edit.Restores && c.dialect.Hides(u)
}

// FindUser returns the user with this key, and store.ErrNotFound also for one whom the dialect hides.
func (c *Call) FindUser(ctx context.Context, key store.UserKey) (store.User, error) {
	u, err := c.dialect.service.Store.FindUser(ctx, key)
	if err == nil && c.hides(&u, Edit{}) {
		return store.User{}, fmt.Errorf("finding user: %w", store.ErrNotFound)
	}
	return u, err
}

// checkEdit returns an error unless the caller may change a user from before to after by an edit, which has returned refused. It sets
// ignored to the members of the body that are ignored.
func (c *Call) checkEdit(before, after *store.User, edit Edit, refused error, ignored *[]string) error {
	if c.dryRun {
		store.AssumeSecrets(before, after, edit.Apply)
	}
	if err := c.dialect.service.Policy.CheckWrite(c.Principal, before, after); err != nil {
		return err
	}
	if edit.Ignored == nil {
		return refused
	}
	owned := edit.Ignored(before)
	*ignored = slices.Sorted(slices.Values(slices.Concat(c.unknown, owned)))
	if c.strict && len(owned) > 0 {
		return joinRules(refused, &RuleError{Fields: ignoredErrors(owned)})
	}
	return refused
}

// CreateUser adds u to the call's customer, on the caller's behalf, if the caller's rank allows it. In a dry run it writes nothing, and u
// has no ID, and a UUID that no user will have.
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
	if err := c.createUser(ctx, u); err != nil {
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

// CacheControl is the Cache-Control header of responses about users: only the caller may store them, and must revalidate them
// before each use.
const CacheControl = "private, no-cache"

// Manages reports whether the caller manages other users, and so may set a password without giving the present one.
func (c *Call) Manages() bool { return c.dialect.service.Policy.Manages(c.Principal) }

// SeesAccessToken reports whether the caller may see the access token of u.
func (c *Call) SeesAccessToken(u *store.User) bool {
	return c.dialect.service.Policy.SeesAccessToken(c.Principal, u.Roles)
}

// Unknown returns the paths of the body's members that the document does not name.
func (c *Call) Unknown() []string { return c.unknown }

// Scope returns the customers that the caller's token covers.
func (c *Call) Scope() store.FeedScope { return c.dialect.service.Policy.Scope(c.Principal) }

// CheckRead evaluates the preconditions of a read of a user at this version, in the order of RFC 9110, section 13.2.2. It
// returns an error, which is rendered as 412, if If-Match is false. It returns true if If-None-Match is false: the response is
// then 304.
func (c *Call) CheckRead(version int64) (notModified bool, err error) {
	if !c.ifMatch.allow(version) {
		return false, &preconditionError{version: version}
	}
	return c.ifNoneMatch.have(version), nil
}

// isConditional reports whether the request has preconditions to be evaluated. It returns false for a customer that the
// directory does not have: the handler reports that whatever the preconditions are.
func (c *Call) isConditional() bool {
	return (c.ifMatch.present || c.ifNoneMatch.present) && (c.Customer.ID != 0 || c.many)
}

// ContentUnwanted reports whether the content of the response is discarded, as for a HEAD request. A handler that streams may
// stop as soon as the rest of its content cannot change the header of the response.
func (c *Call) ContentUnwanted() bool { return c.contentUnwanted }

// Ignored returns the Dragoman-Ignored header for a body of which only unknown members are ignored, or nil if it has none.
func (c *Call) Ignored() *string { return ignoredHeader(c.unknown) }

// IgnoredWith returns the Dragoman-Ignored header for a body of which these members are ignored besides unknown ones. If the request
// prefers handling=strict, they are an error. It is for requests that do not edit a user; see [Edit].
func (c *Call) IgnoredWith(members []string) (*string, error) {
	if c.strict && len(members) > 0 {
		return nil, &RuleError{Fields: ignoredErrors(members)}
	}
	return ignoredHeader(slices.Sorted(slices.Values(slices.Concat(c.unknown, members)))), nil
}

// URL returns the URL of the dialect's base path as the client names the server, followed by path. It is the same in a dry run.
func (c *Call) URL(path string) string {
	scheme := "http"
	if forwarded := c.request.Header.Get(echo.HeaderXForwardedProto); c.request.TLS != nil || strings.EqualFold(forwarded, "https") {
		scheme = "https"
	}
	return scheme + "://" + c.request.Host + c.dialect.BasePath() + path
}

// NamesKnownMember reports whether the body has at least one member that the document names.
func (c *Call) NamesKnownMember() bool {
	for name := range c.Body {
		if _, unknown := slices.BinarySearch(c.unknown, join("", name)); !unknown {
			return true
		}
	}
	return false
}

// names returns the dialect's names for fields, each once. It omits fields for which the dialect has no name.
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

// joinRules adds the fields of more to a dialect's *RuleError. It returns refused if that is another error, and more if it is nil.
func joinRules(refused error, more *RuleError) error {
	if rule, ok := refused.(*RuleError); ok {
		return &RuleError{Fields: slices.Concat(rule.Fields, more.Fields)}
	}
	if refused != nil {
		return refused
	}
	return more
}
