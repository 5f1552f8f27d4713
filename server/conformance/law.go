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

// Law is one thing that must be so of every server of a dialect.
type Law struct {
	Name   string // stable, so that it can stand in a configuration
	Says   string // the law
	Why    string // what breaks for a client where it does not hold
	Source string // where it is written
	Grade  Grade
	// Feature is what the server must offer for the law to be about it; empty: nothing.
	Feature Feature
	// Changes is what the law changes of the user beside names and mobile number; empty: nothing.
	Changes Group
	// OtherToken: it needs a second caller.
	OtherToken bool

	hold func(*trial)
}

// Grade is whose law it is.
type Grade string

// The grades. A server that says it speaks the dialect must keep Vendor and HTTP. Own is for those who claim more.
const (
	Vendor Grade = "vendor" // the vendor's documentation says so
	HTTP   Grade = "http"   // HTTP or JSON say so, in whatever dialect
	Own    Grade = "own"    // Dragoman says so, where the vendor is silent
)

// Feature is an addition that a server may offer, and that is seen in its answers.
type Feature string

// The features.
const (
	// ETags: reading a user gives an ETag.
	ETags Feature = "etag"
	// Changed: an update's answer has Dragoman-Changed.
	Changed Feature = "changed"
	// Strict: an update that prefers handling=strict is answered with Preference-Applied.
	Strict Feature = "prefer"
	// Rules: the server claims what Dragoman decides where the vendor is silent. It does if it offers Changed.
	Rules Feature = "rules"
)

// Features are all of them.
var Features = []Feature{ETags, Changed, Strict, Rules}

// Group is a part of a user that is not changed unless that is allowed.
type Group string

// The groups.
const (
	// Identity is e-mail and username. New values are of example.com. A server may take a changed e-mail for unverified.
	Identity Group = "identity"
	// State is whether the user may sign in: status, and the flags about lock and expiry.
	State Group = "state"
	// Roles is what the user may do. They are only ever given roles that they have.
	Roles Group = "roles"
)

// Groups are all of them.
var Groups = []Group{Identity, State, Roles}

// Laws gives the laws of a dialect in the order in which they are held; none for a dialect that has no update.
func Laws(a description.API) []Law {
	d, err := newDialect(a, "")
	if err != nil {
		return nil
	}
	return d.laws()
}

func (d *dialect) laws() []Law {
	var all []Law
	for _, part := range [][]entry{reading, updating, emptiness, types, limits, syntax, media, versions, told, tokens, tenants, addresses, concurrency, answers} {
		for _, e := range part {
			if law, ok := e.in(d); ok {
				all = append(all, law)
			}
		}
	}
	return all
}

// entry is a law, and what dialects it is one of: all, unless of says otherwise. Its Source is where it is written for every
// dialect whose description cites nothing else.
type entry struct {
	Law
	of func(*dialect, Law) bool
}

// in gives the law as it is in a dialect, and whether it is one there.
func (e entry) in(d *dialect) (Law, bool) {
	law := e.Law
	citation := d.Vendor.Laws[law.Name]
	law.Source = cmp.Or(citation.Source, law.Source, "the document of "+d.Name)
	if citation.Vendor {
		law.Grade = Vendor
	}
	if law.Grade == Own {
		law.Feature = cmp.Or(law.Feature, Rules)
	}
	return law, e.of == nil || e.of(d, law)
}

// What a law is about, by what the description says.

func cited(d *dialect, l Law) bool       { return d.Vendor.Laws[l.Name].Source != "" }
func partial(d *dialect, _ Law) bool     { return !d.whole }
func whole(d *dialect, _ Law) bool       { return d.whole }
func withList(d *dialect, _ Law) bool    { return d.list != nil }
func withCompany(d *dialect, _ Law) bool { return d.company != nil }
func withNumbers(d *dialect, _ Law) bool { return d.hasNumbers() }
func withUUIDs(d *dialect, _ Law) bool   { return d.hasUUIDs() }

func withPlainIDs(d *dialect, _ Law) bool  { return d.hasNumbers() || d.hasUUIDs() }
func withIDsInBody(d *dialect, _ Law) bool { return len(d.matching()) > 0 }

func withCustomerUUID(d *dialect, _ Law) bool { return d.shownAs("Customer.UUID") != "" }
func withTextTimes(d *dialect, _ Law) bool    { return len(d.times("string")) > 0 }

func with(k kind) func(*dialect, Law) bool {
	return func(d *dialect, _ Law) bool {
		_, ok := d.member(k)
		return ok
	}
}

func both(a, b func(*dialect, Law) bool) func(*dialect, Law) bool {
	return func(d *dialect, l Law) bool { return a(d, l) && b(d, l) }
}

// Select gives the laws that one of only names, or all if only is empty, without those that one of skip names. A name may be
// a pattern, as path.Match has it. One that names no law is an error that tells the nearest.
func Select(laws []Law, only, skip []string) ([]Law, error) {
	for _, pattern := range slices.Concat(only, skip) {
		named := func(l Law) bool { return matches(pattern, l) }
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%q is no pattern", pattern)
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
		return nil, fmt.Errorf("no law is left of those that were asked for")
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

// list gives names as a sentence has them.
func list[T ~string](names []T) string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}
