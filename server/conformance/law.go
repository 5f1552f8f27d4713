package conformance

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/dragoman-id/dragoman/server/description"
)

// Law is a rule that every server of a dialect must keep.
type Law struct {
	Name   string `json:"name"`   // stable, since configurations name laws
	Says   string `json:"says"`   // the rule
	Why    string `json:"why"`    // what breaks for clients of a server that breaks the rule
	Source string `json:"source"` // the document that has the rule, unless the dialect's description cites another
	Grade  Grade  `json:"grade"`
	// Feature is an addition without which the law does not apply to a server; empty: it always applies.
	Feature Feature `json:"-"`
	// Changes is the group of members that the law changes, besides names and mobile number; empty: none.
	Changes Group `json:"-"`
	// OtherToken says that the law needs the token of a second caller.
	OtherToken bool `json:"-"`

	check func(*trial)
	// of reports whether a dialect has the law; nil: every dialect has it.
	of func(*dialect, Law) bool
}

// Grade says who made a law.
type Grade string

// The grades. Every server of a dialect must keep the laws of Vendor and HTTP, and a server that claims Rules those of Own.
const (
	Vendor Grade = "vendor" // documented by the vendor
	HTTP   Grade = "http"   // required by HTTP or JSON in every dialect
	Own    Grade = "own"    // decided by Dragoman where the vendor is silent
)

// Feature is an addition that a server may offer, and that its answers show.
type Feature string

// The features.
const (
	ETags    Feature = "etag"     // the answer to reading a user has an ETag
	Changed  Feature = "changed"  // the answer to an update has Dragoman-Changed
	Strict   Feature = "prefer"   // an update with Prefer: handling=strict is answered with Preference-Applied
	Repeats  Feature = "repeat"   // an update that is repeated under its Idempotency-Key is answered with Idempotency-Replayed
	DryRuns  Feature = "dry-run"  // an answer below /dry-run has Dragoman-Dry-Run
	Explains Feature = "conflict" // a 412 to an update has the current ETag
	Rules    Feature = "rules"    // the server claims to keep the laws of grade Own; it does if it offers Changed
)

// Features lists all features.
var Features = []Feature{ETags, Changed, Strict, Repeats, DryRuns, Explains, Rules}

// Group is a group of members that are only changed if Config.Allow has it.
type Group string

// The groups.
const (
	// Identity is e-mail and username. New e-mails are at example.com. A server may mark a changed e-mail as unverified.
	Identity Group = "identity"
	// State is whether the user may sign in: status, and the flags about lock and expiry.
	State Group = "state"
	// Roles is the user's roles. A law only grants roles that the user had at the start.
	Roles Group = "roles"
)

// Groups lists all groups.
var Groups = []Group{Identity, State, Roles}

// Laws returns the laws of a dialect in the order in which they are checked; none for a dialect without an update.
func Laws(a description.API) []Law {
	d, err := newDialect(a, "")
	if err != nil {
		return nil
	}
	return d.laws()
}

// Exempt returns the laws that do not hold of an update of a dialect, by their names, with the reasons.
func Exempt(a description.API, update string) map[string]string {
	b, _ := a.Request(update)
	return b.Exempt
}

func (d *dialect) laws() []Law {
	var all []Law
	for _, law := range slices.Concat(reading, updating, emptiness, types, limits, syntax, media, versions, conflicts, changeHeaders, repeating, dryRuns, tokens, tenants, addresses, concurrency, answers) {
		if law.of != nil && !law.of(d, law) || d.request.Exempt[law.Name] != "" {
			continue
		}
		citation := d.Vendor.Laws[law.Name]
		law.Source = cmp.Or(citation.Source, law.Source, "the document of "+d.Name)
		if citation.Vendor {
			law.Grade = Vendor
		}
		if law.Grade == Own {
			law.Feature = cmp.Or(law.Feature, Rules)
		}
		all = append(all, law)
	}
	return all
}

// The conditions of laws, which the description decides.

func cited(d *dialect, l Law) bool       { return d.Vendor.Laws[l.Name].Source != "" }
func partial(d *dialect, _ Law) bool     { return !d.whole }
func whole(d *dialect, _ Law) bool       { return d.whole }
func withList(d *dialect, _ Law) bool    { return d.list != nil }
func withCompany(d *dialect, _ Law) bool { return d.company != nil }
func withNumbers(d *dialect, _ Law) bool { return d.hasNumbers() }
func withUUIDs(d *dialect, _ Law) bool   { return d.hasUUIDs() }

func withPlainIDs(d *dialect, _ Law) bool  { return d.hasNumbers() || d.hasUUIDs() }
func withIDsInBody(d *dialect, _ Law) bool { return len(d.matching()) > 0 }

func withIntegersInBody(d *dialect, _ Law) bool { return len(d.matchingIntegers()) > 0 }

func withCustomerUUID(d *dialect, _ Law) bool { return d.shownAs("Customer.UUID") != "" }
func withTextTimes(d *dialect, _ Law) bool    { return len(d.times("string")) > 0 }

// withManyRoles: roles are an array, which an update replaces.
func withManyRoles(d *dialect, l Law) bool { return with(grants)(d, l) && d.grantsMany() }

func with(k kind) func(*dialect, Law) bool {
	return func(d *dialect, _ Law) bool {
		_, ok := d.member(k)
		return ok
	}
}

func both(a, b func(*dialect, Law) bool) func(*dialect, Law) bool {
	return func(d *dialect, l Law) bool { return a(d, l) && b(d, l) }
}

// Select returns the laws that only matches, or all if only is empty, without those that skip matches. Both hold names or patterns
// of path.Match. One that matches no law is an error that suggests the nearest name.
func Select(laws []Law, only, skip []string) ([]Law, error) {
	for _, pattern := range slices.Concat(only, skip) {
		named := func(l Law) bool { return matches(pattern, l) }
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%q is not a pattern", pattern)
		}
		if !slices.ContainsFunc(laws, named) {
			return nil, fmt.Errorf("there is no law %q, the nearest is %s", pattern, nearest(pattern, laws))
		}
	}
	var selected []Law
	for _, l := range laws {
		named := func(pattern string) bool { return matches(pattern, l) }
		if (len(only) == 0 || slices.ContainsFunc(only, named)) && !slices.ContainsFunc(skip, named) {
			selected = append(selected, l)
		}
	}
	if len(selected) == 0 {
		return nil, fmt.Errorf("no law is left: see --only and --skip")
	}
	return selected, nil
}

func matches(pattern string, l Law) bool {
	ok, err := path.Match(pattern, l.Name)
	return err == nil && ok
}

func nearest(name string, laws []Law) string {
	found, least := "", math.MaxInt
	for _, l := range laws {
		if d := levenshtein.ComputeDistance(name, l.Name); d < least {
			found, least = l.Name, d
		}
	}
	return found
}

// list joins names with commas.
func list[T ~string](names []T) string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}
