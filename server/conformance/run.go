package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// maxUnreached is the number of consecutive requests without an answer after which a run stops.
const maxUnreached = 3

// run is one run of the kit.
type run struct {
	c      Config
	d      *dialect
	client *client
	nonce  string
	number int

	found     user // the baseline: original, but for changes that no update reverts
	original  user // the user before the first law
	has       map[Feature]bool
	unreached int // consecutive requests without an answer
	// bookkeeping are the members that every update changes: those of the dialect, and others that its document does not have.
	bookkeeping []string
	kept        []Kept
	// dirty says that the user may differ from found.
	dirty bool
	// rootToo says that the API may be at the root of the target.
	rootToo bool
}

func newRun(c Config, d *dialect) (*run, error) {
	base, err := description.BaseURL("--target", c.Target, description.BasePath(d.document))
	if err != nil {
		return nil, err
	}
	r := &run{c: c, d: d, nonce: newNonce(), has: map[Feature]bool{}, bookkeeping: slices.Clone(d.bookkeeping), rootToo: isHost(c.Target)}
	r.client = &client{
		base: base, basePath: description.BasePath(d.document),
		http: &http.Client{
			Transport: c.Transport,
			Timeout:   c.Timeout,
			// A redirect is not part of a dialect, and a token must not be sent to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		limiter:  rate.NewLimiter(rate.Limit(c.Rate), max(int(c.Rate), 1)),
		contract: d.contract,
	}
	r.client.left.Store(int64(c.MaxRequests))
	r.client.secrets = slices.Concat(secretsOf(c.Token), secretsOf(c.OtherToken))
	return r, nil
}

// secretsOf returns the texts of a token that no report may show: all of it, and its claims and signature, which laws about tokens
// send separately.
func secretsOf(token string) []string {
	var all []string
	if token != "" {
		all = append(all, token)
	}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		all = append(all, parts[2], parts[1])
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// request returns a request of the token's caller.
func (r *run) request(operation, method, path string) request {
	header := http.Header{}
	if r.d.company != nil {
		header.Set(r.d.company.Name, r.c.Company)
	}
	return request{operation: operation, method: method, path: path, header: header, bearer: "Bearer " + r.c.Token}
}

func (r *run) userPath(customer, id string) string { return r.d.path(*r.d.show, customer, id) }
func (r *run) listPath(customer string) string {
	return r.d.path(*r.d.list, customer, "") + r.d.Vendor.ListSuffix
}

// path returns an operation's path below the base path with these ids, which are not escaped.
func (d *dialect) path(o description.Operation, customer, user string) string {
	path := strings.TrimPrefix(o.Path, description.BasePath(d.document))
	return strings.NewReplacer("{"+d.customer.Name+"}", customer, "{"+d.user.Name+"}", user).Replace(path)
}

func (r *run) userIn(x exchange) (user, bool) {
	value, err := decode(x.body)
	if err != nil {
		return nil, false
	}
	if r.d.inUser != "" {
		value = memberOfObject(value, r.d.inUser)
	}
	u, ok := r.d.flat(value)
	return u, ok && u[r.d.idMember] != nil
}

func (r *run) allowed(g Group) bool    { return slices.Contains(r.c.Allow, g) }
func (r *run) requires(f Feature) bool { return slices.Contains(r.c.Require, f) }

// next numbers the values that laws set, so that each is new.
func (r *run) next() int {
	r.number++
	return r.number
}

// begin reads the user, rejects one that must not be used, tries a write that changes nothing, and detects the features.
func (r *run) begin(ctx context.Context) error {
	t := &trial{run: r, ctx: ctx}
	x, err := r.locate(ctx, t.showRequest())
	if err != nil {
		return fmt.Errorf("%w: read the user: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	found, ok := r.userIn(x)
	if x.status != http.StatusOK || !ok {
		return fmt.Errorf("%w: reading the user is answered with\n%s\n\n%s", ErrUnreachable, r.client.showRequest(x), r.client.showAnswer(x))
	}
	r.found, r.original = found, maps.Clone(found)
	if err := r.safe(found); err != nil {
		return err
	}
	r.has[ETags] = etag(x) != ""
	x, err = r.client.do(ctx, t.updateRequest(t.idle().String()))
	if err != nil {
		return fmt.Errorf("%w: write to the user: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	if x.status != http.StatusOK {
		return fmt.Errorf("%w: an update that changes nothing is answered with\n%s\n\n%s", ErrUnreachable, r.client.showRequest(x), r.client.showAnswer(x))
	}
	_, r.has[Changed] = x.header["Dragoman-Changed"]
	r.has[Rules] = r.has[Changed]
	x, err = r.client.do(ctx, t.updateRequest(t.idle().String()).with("Prefer", "handling=strict"))
	if err != nil {
		return fmt.Errorf("%w: write to the user: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	r.has[Strict] = x.header.Get("Preference-Applied") != ""
	keyed := t.updateRequest(t.idle().String()).with(idempotencyKey, t.key())
	for range 2 {
		if x, err = r.client.do(ctx, keyed); err != nil {
			return fmt.Errorf("%w: write to the user: %s", ErrUnreachable, r.client.redact(err.Error()))
		}
	}
	r.has[Repeats] = x.header.Get(replayed) != ""
	if x, err = r.client.do(ctx, t.showRequest().asDryRun()); err != nil {
		return fmt.Errorf("%w: read the user as a dry run: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	r.has[DryRuns] = x.header.Get(dryRun) != ""
	if r.has[ETags] {
		if x, err = r.client.do(ctx, t.updateRequest(t.idle().String()).with("If-Match", another(`"x"`))); err != nil {
			return fmt.Errorf("%w: write to the user: %s", ErrUnreachable, r.client.redact(err.Error()))
		}
		// A server that ignores If-Match does not refuse it without an explanation.
		r.has[Explains] = x.status != http.StatusPreconditionFailed || etag(x) != ""
	}
	return nil
}

// locate reads the user at the dialect's base path or, if the target has no path and nothing is found there, at the root.
func (r *run) locate(ctx context.Context, show request) (exchange, error) {
	x, err := r.client.do(ctx, show)
	if _, ok := r.userIn(x); err != nil || !r.rootToo || ok && x.status == http.StatusOK {
		return x, err
	}
	if x.status != http.StatusNotFound && x.status != http.StatusMethodNotAllowed && x.status != http.StatusOK {
		return x, nil // the API is there, and rejects the request
	}
	below := r.client.base
	root := *below
	root.Path = ""
	r.client.base = &root
	atRoot, err := r.client.do(ctx, show)
	if _, ok := r.userIn(atRoot); err == nil && ok && atRoot.status == http.StatusOK {
		return atRoot, nil
	}
	r.client.base = below
	return x, nil
}

// safe rejects an administrator and the token's own user, since a faulty server could lock them out.
func (r *run) safe(u user) error {
	if role := r.d.administrator(u); role != "" {
		return fmt.Errorf("%w: the user has %s. A law that fails could leave the customer without an administrator: take an ordinary user that exists for tests", ErrUnsafe, role)
	}
	claims := claimsOf(r.c.Token)
	for _, name := range []string{"sub", "custom:id", "email", "preferred_username", "username", "user_name", "user_id"} {
		claim, ok := claims[name]
		if !ok || claim == "" {
			continue
		}
		for _, own := range []string{r.d.idMember, r.d.shownAs("Email"), r.d.shownAs("Username")} {
			if shown, ok := u[own]; ok && strings.EqualFold(fmt.Sprint(claim), fmt.Sprint(shown)) {
				return fmt.Errorf("%w: it is the token's own (its %s is the user's %s). A law that fails could lock you out: take another", ErrUnsafe, name, own)
			}
		}
	}
	return nil
}

// mayBeOwn reports whether the token names a user by a UUID, while the dialect does not show the UUID of the tested user.
func (r *run) mayBeOwn() bool {
	claims := claimsOf(r.c.Token)
	isUUID := func(value any) bool {
		text, ok := value.(string)
		return ok && uuid.Validate(text) == nil
	}
	return !isUUID(r.found[r.d.idMember]) && (isUUID(claims["custom:id"]) || isUUID(claims["sub"]))
}

// claimsOf reads the claims of a token without verifying it; nil if it is no JWT.
func claimsOf(token string) map[string]any {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		return nil
	}
	return claims
}

// offered returns the features that the server has, in the order of Features.
func (r *run) offered() []Feature {
	return slices.DeleteFunc(slices.Clone(Features), func(f Feature) bool { return !r.has[f] })
}

// checkAll checks the laws one by one, each with the user in its original state, and restores the user at the end in every case.
// It calls began before the first law. The error is an ErrUnreachable when the server stores nothing.
func (r *run) checkAll(ctx context.Context, laws []Law, began func()) (results []Result, restored Restoration, err error) {
	// The user is restored even if the run is cancelled.
	defer func() { restored = r.restore(context.WithoutCancel(ctx)) }()
	if err := r.probe(ctx); err != nil {
		return nil, restored, err
	}
	began()
	results = []Result{}
	for _, law := range laws {
		result := r.resetAfter(ctx, r.check(ctx, law))
		results = append(results, result)
		if r.c.Observe != nil {
			r.c.Observe(result)
		}
	}
	return results, restored, nil
}

// errStatic means that the server is a mock that answers with fixed examples.
var errStatic = fmt.Errorf("%w: a read does not show what was written, as with a mock that answers with fixed examples", ErrUnreachable)

// probe changes the user's names and reads them back. Members outside of the document that change with them are ignored from then
// on, as no law says that they stay. Whatever else is wrong is for the laws to find.
func (r *run) probe(ctx context.Context) error {
	r.dirty = true
	var is user
	t := &trial{run: r, ctx: ctx}
	first, second := r.d.members[0], r.d.members[1]
	body := t.base().with(first.name, t.fresh(first)).with(second.name, t.fresh(second))
	err := guarded(func() error {
		x, err := r.client.do(ctx, t.updateRequest(body.String()))
		if err != nil || x.status != http.StatusOK {
			return err
		}
		is, err = r.read(ctx)
		return err
	})
	if err != nil || is == nil {
		return nil
	}
	if same(is[first.name], r.found[first.name]) && same(is[second.name], r.found[second.name]) {
		return errStatic
	}
	for _, name := range differences(r.found, is) {
		if description.PropertyAt(r.d.userSchema(), name) == nil {
			r.bookkeeping = append(r.bookkeeping, name)
			r.found[name] = is[name]
		}
	}
	return nil
}

// resetAfter resets the user after a law, and adds to the law's result what could not be reset.
func (r *run) resetAfter(ctx context.Context, result Result) Result {
	before := len(r.kept)
	r.dirty = guarded(func() error { return r.reset(ctx, result.Name, false) }) != nil
	if len(r.kept) == before {
		return result
	}
	var left []string
	for _, k := range r.kept[before:] {
		k.Law = ""
		left = append(left, k.String())
	}
	note := "no update restores it, and the run continues with the new value: " + strings.Join(left, ", ")
	if result.Outcome == Broken || result.Outcome == Differs {
		result.Reason = strings.TrimPrefix(result.Reason+"; "+note, "; ")
		return result
	}
	result.Outcome, result.Reason = Broken, note
	result.Expected, result.Got = "a user that an update can restore", strings.Join(left, ", ")
	if x, err := r.client.do(ctx, (&trial{run: r, ctx: ctx}).showRequest()); err == nil {
		result.Request, result.Answer = r.client.showRequest(x), r.client.showAnswer(x)
	}
	if !r.claims(Rules) {
		result.Outcome = Differs
	}
	return result
}

// claims reports whether the server claims, or is required, to keep the laws of grade Own about a feature.
func (r *run) claims(f Feature) bool { return r.has[Rules] || r.requires(Rules) || r.requires(f) }

// check checks one law.
func (r *run) check(ctx context.Context, law Law) Result {
	started := time.Now()
	v := r.verdictOn(ctx, law)
	result := Result{Law: law, Outcome: v.outcome, Reason: v.reason, Expected: v.expected, Got: v.got, Took: time.Since(started)}
	if v.exchange != nil {
		result.Request = r.client.showRequest(*v.exchange)
		if v.exchange.status != 0 {
			result.Answer = r.client.showAnswer(*v.exchange)
		}
		result.Got = r.client.redact(result.Got)
	}
	if result.Outcome == Broken && law.Grade == Own && !r.claims(law.Feature) {
		result.Outcome = Differs
		result.Reason = "the vendor does not define it, and the server does not claim Dragoman's rules"
	}
	return result
}

func (r *run) verdictOn(ctx context.Context, law Law) verdict {
	if ctx.Err() != nil {
		return verdict{outcome: Unchecked, reason: "interrupted"}
	}
	if r.unreached >= maxUnreached {
		return verdict{outcome: Unchecked, reason: "the server no longer answers"}
	}
	if law.Feature != "" && law.Feature != Rules && !r.has[law.Feature] {
		if r.requires(law.Feature) {
			return verdict{outcome: Broken, expected: "the feature " + string(law.Feature), got: "the server does not offer it"}
		}
		return verdict{outcome: Skipped, reason: "the server does not offer " + featureNames[law.Feature]}
	}
	if law.Changes != "" && !r.allowed(law.Changes) {
		return verdict{outcome: Skipped, reason: notAllowed(law.Changes)}
	}
	if law.OtherToken && r.c.OtherToken == "" {
		return verdict{outcome: Skipped, reason: "it needs the token of a second caller"}
	}
	if r.dirty {
		if err := guarded(func() error { return r.reset(ctx, "", false) }); err != nil {
			return verdict{outcome: Unchecked, reason: "the user could not be reset: " + r.client.redact(err.Error())}
		}
	}
	return r.try(ctx, law)
}

var featureNames = map[Feature]string{
	ETags:    "an ETag",
	Changed:  "Dragoman-Changed",
	Strict:   "Prefer: handling=strict",
	Repeats:  "Idempotency-Key",
	DryRuns:  "dry runs",
	Explains: "explained conflicts",
	Rules:    "Dragoman's rules",
}

func notAllowed(g Group) string {
	return fmt.Sprintf("it changes the user's %s: allow it with --allow %s", groupNames[g], g)
}

var groupNames = map[Group]string{
	Identity: "e-mail or username",
	State:    "state",
	Roles:    "roles",
}

// try checks a law and returns its verdict; see [trial].
func (r *run) try(ctx context.Context, law Law) verdict {
	v := verdict{outcome: Holds}
	err := guarded(func() error {
		defer func() {
			switch thrown := recover().(type) {
			case nil:
			case verdict:
				v = thrown
			default:
				panic(thrown)
			}
		}()
		t := &trial{run: r, ctx: ctx}
		law.check(t)
		if len(t.untried) > 0 {
			v.reason = "not tried: " + strings.Join(t.untried, "; ")
		}
		return nil
	})
	if err != nil {
		v = verdict{outcome: Unchecked, reason: err.Error()}
	}
	if v.outcome == Unchecked && ctx.Err() != nil {
		v.reason = "interrupted"
	}
	return v
}

// guarded runs f and returns a panic of f as an error, so that the user is restored afterwards.
func guarded(f func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("the check itself failed, which is a bug in it: %v\n%s", thrown, debug.Stack())
		}
	}()
	return f()
}

// errNotReset means that the user could not be reset.
var errNotReset = errors.New("not restored")

// errUnreadable means that the server's answer does not show the user.
var errUnreadable = errors.New("unreadable")

// resets is how often an update is sent to reset the user, as the first may have raced with a write that was still in progress.
const resets = 3

// reset makes the user what it was at the start. A member that no update resets gets a new baseline; see [run.keep]. The error is
// errNotReset if the update is refused, or, at the end of the run, if it leaves a member unchanged that an update can set.
func (r *run) reset(ctx context.Context, law string, atEnd bool) error {
	t := &trial{run: r, ctx: ctx}
	is, err := r.read(ctx)
	if errors.Is(err, errUnreadable) {
		// The answer may be broken because of a value that a law stored, so the update is sent anyway.
		if _, err := r.client.do(ctx, t.updateRequest(r.d.restoring(r.found, user{}).String())); err != nil {
			return err
		}
		is, err = r.read(ctx)
	}
	if err != nil {
		return err
	}
	left := r.d.unrestored(r.found, is, r.bookkeeping)
	restorable := func(name string) bool { return r.d.restorable(name, r.found, is) }
	for n := range resets {
		// A PUT replaces the user, and so may remove a member that it does not name.
		if len(left) == 0 || !slices.ContainsFunc(left, restorable) && (!r.d.whole || n > 0) {
			break
		}
		x, err := r.client.do(ctx, t.updateRequest(r.d.restoring(r.found, is).String()))
		if err != nil {
			return err
		}
		if x.status != http.StatusOK {
			return fmt.Errorf("%w: the update that restores it is answered with %d: %s", errNotReset, x.status, excerpt(x.body))
		}
		if is, err = r.read(ctx); err != nil {
			return err
		}
		left = r.d.unrestored(r.found, is, r.bookkeeping)
	}
	if atEnd && slices.ContainsFunc(left, restorable) {
		return fmt.Errorf("%w: %s", errNotReset, changes(left, r.found, is))
	}
	for _, name := range left {
		r.keep(name, is, law)
	}
	return nil
}

// keep makes the present value of a member its baseline, and records the change under the law's name, once for each member.
func (r *run) keep(name string, is user, law string) {
	k := Kept{Member: name, Was: r.found.json(name), Is: is.json(name), Law: law}
	if i := slices.IndexFunc(r.kept, func(k Kept) bool { return k.Member == name }); i >= 0 {
		r.kept[i].Is = k.Is
	} else {
		r.kept = append(r.kept, k)
	}
	if _, shown := is[name]; shown {
		r.found[name] = is[name]
	} else {
		delete(r.found, name)
	}
}

// changes says what these members were and are.
func changes(names []string, before, after user) string {
	var all []string
	for _, name := range names {
		all = append(all, fmt.Sprintf("%s was %s and is %s", name, before.json(name), after.json(name)))
	}
	return strings.Join(all, ", ")
}

func (r *run) read(ctx context.Context) (user, error) {
	x, err := r.client.do(ctx, (&trial{run: r, ctx: ctx}).showRequest())
	if err != nil {
		return nil, err
	}
	u, ok := r.userIn(x)
	if x.status != http.StatusOK || !ok {
		return nil, fmt.Errorf("%w: reading the user is answered with %d: %s", errUnreadable, x.status, excerpt(x.body))
	}
	return u, nil
}

// settleTime is how long a write without an answer may still be in progress.
const settleTime = time.Second

// restore resets the user at the end of the run, and retries until Config.RestoreTimeout.
func (r *run) restore(ctx context.Context) Restoration {
	ctx, cancel := context.WithTimeout(ctx, r.c.RestoreTimeout)
	defer cancel()
	r.client.left.Store(restoreRequests)
	r.resetBaseline()
	var reason error
	settled := r.client.lost.Load() == 0
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		err := guarded(func() error { return r.reset(ctx, "", true) })
		switch {
		case err == nil && settled:
			return Restoration{Done: true, Kept: r.kept}
		case err == nil:
			settled, wait = true, settleTime
		case reason == nil || errors.Is(err, errNotReset):
			// The server's answer is more useful than the timeout that follows.
			reason = err
		}
		if !sleep(ctx, wait) {
			break
		}
	}
	if reason == nil {
		reason = errors.New("a write that was not answered may still be in progress")
	}
	t := &trial{run: r, ctx: ctx}
	return Restoration{
		Reason:  r.client.redact(reason.Error()),
		Request: r.client.redact(fmt.Sprintf("%s %s", t.d.update.Method, r.client.base.String()+t.userPath(r.c.Customer, r.c.User))),
		Body:    r.d.restoring(r.found, user{}).String(),
		Kept:    r.kept,
	}
}

// resetBaseline makes the original value the baseline again for each member that an update can set.
func (r *run) resetBaseline() {
	r.kept = slices.DeleteFunc(r.kept, func(k Kept) bool {
		if !r.d.restorable(k.Member, r.original, r.found) {
			return false
		}
		r.found[k.Member] = r.original[k.Member]
		return true
	})
}

// restoreRequests is the limit of requests for restoring the user.
const restoreRequests = 100
