package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// maxUnreached is after how many requests in a row without an answer no more are sent.
const maxUnreached = 3

// run is one run of the kit.
type run struct {
	c      Config
	d      *dialect
	client *client
	paths  paths
	nonce  string
	number int

	found     user // as it was before the first law
	foundETag string
	has       map[Feature]bool
	unreached int // requests in a row that were not answered
}

// paths are those of the document, with {names} in them.
type paths struct{ user, list string }

func newRun(c Config) (*run, error) {
	d := dialectOf(c.Dialect)
	contract, document, err := newContract(d)
	if err != nil {
		return nil, err
	}
	server, err := url.Parse(document.Servers[0].URL)
	if err != nil {
		return nil, fmt.Errorf("read the document's server: %w", err)
	}
	base, err := baseURL(c.Target, server.Path)
	if err != nil {
		return nil, err
	}
	r := &run{c: c, d: d, nonce: newNonce(), has: map[Feature]bool{}}
	for path, item := range document.Paths.Map() {
		for _, o := range item.Operations() {
			switch o.OperationID {
			case d.show:
				r.paths.user = path
			case d.list:
				r.paths.list = path
			}
		}
	}
	r.client = &client{
		base: base,
		http: &http.Client{
			Transport: c.Transport,
			Timeout:   c.Timeout,
			// Where a redirect leads is no part of the dialect, and a token must not go there.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		limiter:  rate.NewLimiter(rate.Limit(c.Rate), max(int(c.Rate), 1)),
		contract: contract,
	}
	r.client.left.Store(int64(c.MaxRequests))
	r.client.secrets = slices.Concat(secretsOf(c.Token), secretsOf(c.OtherToken))
	return r, nil
}

// secretsOf gives what of a token no report may show: all of it, and the parts that together with what everybody knows make
// it. Laws about tokens send the parts alone.
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

// request makes one by the token's caller.
func (r *run) request(operation, method, path string) request {
	header := http.Header{}
	if r.c.Company != "" {
		header.Set("Current-Company-Id", r.c.Company)
	}
	return request{operation: operation, method: method, path: path, header: header, bearer: "Bearer " + r.c.Token}
}

func (r *run) userPath(customer, id string) string { return fill(r.paths.user, customer, id) }
func (r *run) listPath(customer string) string     { return fill(r.paths.list, customer) }

// fill puts values in place of a path's parameters, in their order. They go over the wire as they are.
func fill(path string, values ...string) string {
	for _, value := range values {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		path = before + value + after
	}
	return path
}

func (r *run) userIn(x exchange) (user, bool) {
	value, err := decode(x.body)
	if err != nil {
		return nil, false
	}
	if r.d.inUser != "" {
		value = memberOfObject(value, r.d.inUser)
	}
	u, ok := value.(map[string]any)
	return u, ok && u[r.d.idMember] != nil
}

func (r *run) allowed(g Group) bool    { return slices.Contains(r.c.Allow, g) }
func (r *run) requires(f Feature) bool { return slices.Contains(r.c.Require, f) }

// next counts the values that laws give to members, so that none is the one before.
func (r *run) next() int {
	r.number++
	return r.number
}

// begin reads the user, refuses one who must not be written to, tries a write that changes nothing, and sees what the server
// offers.
func (r *run) begin(ctx context.Context) error {
	t := &trial{run: r, ctx: ctx}
	x, err := r.client.do(ctx, t.showRequest())
	if err != nil {
		return fmt.Errorf("%w: read the user: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	found, ok := r.userIn(x)
	if x.status != http.StatusOK || !ok {
		return fmt.Errorf("%w: reading the user gives\n%s\n\n%s", ErrUnreachable, r.client.showRequest(x), r.client.showAnswer(x))
	}
	r.found, r.foundETag = found, x.header.Get("ETag")
	if err := r.safe(found); err != nil {
		return err
	}
	r.has[ETags] = r.foundETag != ""
	x, err = r.client.do(ctx, t.updateRequest(t.idle().String()))
	if err != nil {
		return fmt.Errorf("%w: write to the user: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	if x.status != http.StatusOK {
		return fmt.Errorf("%w: an update that changes nothing gives\n%s\n\n%s", ErrUnreachable, r.client.showRequest(x), r.client.showAnswer(x))
	}
	_, r.has[Changed] = x.header["Dragoman-Changed"]
	r.has[Rules] = r.has[Changed]
	x, err = r.client.do(ctx, t.updateRequest(t.idle().String()).with("Prefer", "handling=strict"))
	if err != nil {
		return fmt.Errorf("%w: write to the user: %s", ErrUnreachable, r.client.redact(err.Error()))
	}
	r.has[Strict] = x.header.Get("Preference-Applied") != ""
	return nil
}

// safe refuses a user whom a fault of the server would hurt beyond a test.
func (r *run) safe(u user) error {
	if held := r.d.administrator(u); held != "" {
		return fmt.Errorf("%w: the user holds %s. A law that fails could leave the customer without an administrator: take a plain user who is there for tests", ErrUnsafe, held)
	}
	claims := claimsOf(r.c.Token)
	for _, name := range []string{"sub", "custom:id", "email", "preferred_username", "username", "user_name", "user_id"} {
		claim, ok := claims[name]
		if !ok || claim == "" {
			continue
		}
		for _, own := range []string{r.d.idMember, "email", "username"} {
			if shown, ok := u[own]; ok && strings.EqualFold(fmt.Sprint(claim), fmt.Sprint(shown)) {
				return fmt.Errorf("%w: it is the token's own (its %s is the user's %s). A law that fails could lock you out: take another", ErrUnsafe, name, own)
			}
		}
	}
	return nil
}

// claimsOf reads a token's claims without verifying it; nothing if it is no JWT.
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

// offered gives the features that the server has, in their order.
func (r *run) offered() []Feature {
	offered := []Feature{}
	for _, f := range Features {
		if r.has[f] {
			offered = append(offered, f)
		}
	}
	return offered
}

// hold holds the laws one by one, each against the user as found, and gives the user back at the end, whatever that is.
func (r *run) hold(ctx context.Context, laws []Law) (results []Result, back Restoration) {
	// What stopped the laws must not stop this.
	defer func() { back = r.restore(context.WithoutCancel(ctx)) }()
	results = []Result{}
	for _, law := range laws {
		result := r.judge(ctx, law)
		results = append(results, result)
		if r.c.Observe != nil {
			r.c.Observe(result)
		}
	}
	return results, back
}

// judge holds one law.
func (r *run) judge(ctx context.Context, law Law) Result {
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
	if result.Outcome == Broken && law.Feature == Rules && !r.has[Rules] && !r.requires(Rules) {
		result.Outcome = Differs
		result.Reason = "the vendor leaves it open, and the server does not claim Dragoman's rules"
	}
	return result
}

func (r *run) verdictOn(ctx context.Context, law Law) verdict {
	if ctx.Err() != nil {
		return verdict{outcome: Unchecked, reason: "interrupted"}
	}
	if r.unreached >= maxUnreached {
		return verdict{outcome: Unchecked, reason: "the server does not answer any more"}
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
	if err := guarded(func() error { return r.reset(ctx) }); err != nil {
		return verdict{outcome: Unchecked, reason: "the user is not as it was found: " + r.client.redact(err.Error())}
	}
	return r.try(ctx, law)
}

var featureNames = map[Feature]string{
	ETags:   "an ETag",
	Changed: "Dragoman-Changed",
	Strict:  "Prefer: handling=strict",
	Rules:   "Dragoman's rules",
}

func notAllowed(g Group) string {
	return fmt.Sprintf("it changes the user's %s, and %q is not allowed", groupNames[g], g)
}

var groupNames = map[Group]string{
	Identity: "e-mail or username",
	State:    "state",
	Roles:    "roles",
}

// try holds a law and catches how it ends.
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
		law.hold(&trial{run: r, ctx: ctx})
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

// guarded runs f and gives a panic as an error: what comes after f is more important than how f ended.
func guarded(f func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("a fault of the check itself: %v\n%s", thrown, debug.Stack())
		}
	}()
	return f()
}

// errNotBack: the user could not be made what it was.
var errNotBack = errors.New("not back")

// reset makes the user what it was found as, if it is not.
func (r *run) reset(ctx context.Context) error {
	t := &trial{run: r, ctx: ctx}
	is, err := r.read(ctx)
	if err != nil {
		return err
	}
	if len(r.d.isBack(r.found, is)) == 0 {
		return nil
	}
	body := r.d.restoring(r.found, is)
	if len(body) > 0 {
		x, err := r.client.do(ctx, t.updateRequest(body.String()))
		if err != nil {
			return err
		}
		if x.status != http.StatusOK {
			return fmt.Errorf("%w: the update that restores it gives %d: %s", errNotBack, x.status, excerpt(x.body))
		}
		if is, err = r.read(ctx); err != nil {
			return err
		}
	}
	if left := r.d.isBack(r.found, is); len(left) > 0 {
		return fmt.Errorf("%w: %s", errNotBack, changes(left, r.found, is))
	}
	return nil
}

// changes says what the members of these names were and are.
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
		return nil, fmt.Errorf("reading the user gives %d: %s", x.status, excerpt(x.body))
	}
	return u, nil
}

// settleTime is how long a write whose answer never came may still be under way.
const settleTime = time.Second

// restore gives the user back, and tries again for as long as it may.
func (r *run) restore(ctx context.Context) Restoration {
	ctx, cancel := context.WithTimeout(ctx, r.c.RestoreTimeout)
	defer cancel()
	r.client.left.Store(restoreRequests)
	var reason error
	settled := r.client.lost.Load() == 0
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		err := guarded(func() error { return r.reset(ctx) })
		switch {
		case err == nil && settled:
			return Restoration{Done: true}
		case err == nil:
			settled, wait = true, settleTime
		case reason == nil || errors.Is(err, errNotBack):
			// What the server says is worth more than that time was up in the end.
			reason = err
		}
		if !sleep(ctx, wait) {
			break
		}
	}
	if reason == nil {
		reason = errors.New("whether a write is still under way is not known")
	}
	t := &trial{run: r, ctx: ctx}
	return Restoration{
		Reason:  r.client.redact(reason.Error()),
		Request: r.client.redact(fmt.Sprintf("%s %s", t.d.method, r.client.base.String()+t.userPath(r.c.Customer, r.c.User))),
		Body:    r.d.restoring(r.found, user{}).String(),
	}
}

// restoreRequests bounds what giving the user back may take.
const restoreRequests = 100
