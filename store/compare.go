package store

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// Text is a text of a user that a filter compares. Which texts are compared by their folds is said at each; the others are compared
// exactly. The empty text is none.
type Text int

// The texts.
const (
	TextUUID        Text = iota // in lower case, with hyphens
	TextExternalID              //
	TextUsername                // by Fold
	TextFirstName               // by Fold
	TextLastName                // by Fold
	TextDisplayName             //
	TextEmail                   // by FoldEmail. Parts are compared by Fold, and looked for in all of EmailForms.
	TextMobile                  //
)

// Operator is how a filter compares.
type Operator int

// The operators. Texts are ordered by code points.
const (
	Equal Operator = iota
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
	Contains
	StartsWith
	EndsWith
)

var orderOperators = map[Operator]string{Equal: "=", Less: "<", LessOrEqual: "<=", Greater: ">", GreaterOrEqual: ">="}

// comparedText is how a text is stored.
type comparedText struct {
	column   string   // in the form that is compared
	parts    []string // what parts are looked for in; nil: column
	optional bool     // NULL is none, rather than the empty text
	fold     func(string) string
	foldPart func(string) string
	indexed  bool // in user_search
}

func exactly(text string) string { return text }

// uuidColumn stands for the text of a UUID, which engines write in different ways.
const uuidColumn = "{uuid}"

var uuidTexts = map[string]string{sqlite.Name: "uuid", postgres.Name: `CAST(uuid AS TEXT) COLLATE "C"`}

var comparedTexts = [...]comparedText{
	TextUUID:        {column: uuidColumn, fold: exactly, foldPart: exactly},
	TextExternalID:  {column: "external_id", optional: true, fold: exactly, foldPart: exactly},
	TextUsername:    {column: "username_fold", fold: Fold, foldPart: Fold},
	TextFirstName:   {column: "first_name_fold", fold: Fold, foldPart: Fold, indexed: true},
	TextLastName:    {column: "last_name_fold", fold: Fold, foldPart: Fold, indexed: true},
	TextDisplayName: {column: "display_name", optional: true, fold: exactly, foldPart: exactly},
	TextEmail:       {column: "email_fold", parts: []string{"email_fold", "coalesce(email_search, '')"}, fold: FoldEmail, foldPart: Fold, indexed: true},
	TextMobile:      {column: "mobile", optional: true, fold: exactly, foldPart: exactly},
}

// present is the condition that there is a text.
func (t comparedText) present() string {
	if t.optional {
		return t.column + " IS NOT NULL"
	}
	return t.column + " <> ''"
}

// HasText finds users who have a text.
func HasText(text Text) Filter { return Filter{condition: comparedTexts[text].present()} }

// CompareText finds users who have a text that an operator relates to a value. A value may be any text. A username, an e-mail, an
// external id and a UUID are found by an index if they are compared by Equal; so are parts of the other names and of an e-mail, as
// [Mentions] finds them. All other comparisons look at every user of the customer.
func CompareText(text Text, operator Operator, value string) Filter {
	t := comparedTexts[text]
	value = strings.ToValidUTF8(value, "\uFFFD")
	part := slices.Contains([]Operator{Contains, StartsWith, EndsWith}, operator)
	if prefix, _, has := strings.Cut(value, "\x00"); has {
		// No text of a user has U+0000, and Postgres takes none. A text is before such a value if it is not after what precedes it.
		switch operator {
		case Less, LessOrEqual:
			operator = LessOrEqual
		case Greater, GreaterOrEqual:
			operator = Greater
		default:
			return Nobody()
		}
		value = prefix
	}
	switch {
	case part && value == "":
		return HasText(text)
	case part:
		return t.contains(operator, t.foldPart(value))
	case operator != Equal:
		return Filter{condition: fmt.Sprintf("(%s AND %s %s ?)", t.present(), t.column, orderOperators[operator]), values: []any{t.fold(value)}}
	case value == "":
		return Nobody()
	}
	switch text {
	case TextExternalID:
		return HasExternalID(value)
	case TextUsername:
		return HasUsername(value)
	case TextEmail:
		return HasEmail(value)
	case TextUUID:
		// By the column itself, whose type is not text everywhere.
		if id, wrong := readUUID(value); wrong == "" && id.String() == value {
			return HasUUID(id)
		}
		return Nobody()
	}
	return Filter{condition: t.column + " = ?", values: []any{t.fold(value)}}
}

// contains finds users whose text has a folded part where the operator says. LIKE is of no use here: that of SQLite ignores case.
func (t comparedText) contains(operator Operator, part string) Filter {
	columns := t.parts
	if columns == nil {
		columns = []string{t.column}
	}
	var conditions []string
	var values []any
	for _, column := range columns {
		const length = "length(CAST(? AS TEXT))"
		switch operator {
		case StartsWith:
			conditions = append(conditions, fmt.Sprintf("substr(%s, 1, %s) = ?", column, length))
			values = append(values, part, part)
		case EndsWith:
			conditions = append(conditions, fmt.Sprintf("length(%s) >= %s AND substr(%[1]s, length(%[1]s) - %[2]s + 1) = ?", column, length))
			values = append(values, part, part, part)
		default:
			conditions = append(conditions, fmt.Sprintf("replace(%s, ?, '') <> %[1]s", column))
			values = append(values, part)
		}
	}
	f := Filter{condition: "(" + strings.Join(conditions, " OR ") + ")", values: values}
	if t.optional {
		f.condition = "(" + t.present() + " AND " + f.condition + ")"
	}
	if t.indexed {
		f.part = part
	}
	return f
}

// CompareCreatedAt finds users whose creation an operator relates to a time. Contains, StartsWith and EndsWith find nobody.
func CompareCreatedAt(operator Operator, t time.Time) Filter {
	return compareTime("created_at", operator, t)
}

// CompareUpdatedAt is [CompareCreatedAt] for the last change.
func CompareUpdatedAt(operator Operator, t time.Time) Filter {
	return compareTime("updated_at", operator, t)
}

// compareTime compares with a time of any precision; stored ones are whole milliseconds.
func compareTime(column string, operator Operator, t time.Time) Filter {
	ms := t.UnixMilli() // of which t is not before
	if !time.UnixMilli(ms).Equal(t) {
		switch operator {
		case Equal:
			return Nobody()
		case Less:
			operator = LessOrEqual
		case GreaterOrEqual:
			operator = Greater
		}
	}
	sign, ok := orderOperators[operator]
	if !ok {
		return Nobody()
	}
	return Filter{condition: column + " " + sign + " ?", values: []any{ms}}
}

// HasAnyRole finds users who have one of the roles, or several.
func HasAnyRole(roles RoleSet) Filter {
	return Filter{condition: "(roles & ?) <> 0", values: []any{int64(roles)}}
}

// All finds users whom all filters find: everybody, if there are none.
func All(filters ...Filter) Filter { return combination(conjunction, "1 = 1", filters) }

// Any finds users whom one of the filters finds, or several: nobody, if there are none.
func Any(filters ...Filter) Filter { return combination(disjunction, Nobody().condition, filters) }

// Not finds users whom a filter does not find.
func Not(f Filter) Filter { return Filter{join: negation, of: []Filter{f}} }

// What combines the conditions of filters, and what follows one that is negated. A condition that is NULL finds nobody.
const (
	conjunction = " AND "
	disjunction = " OR "
	negation    = " IS NOT TRUE"
)

func combination(join, none string, filters []Filter) Filter {
	switch len(filters) {
	case 0:
		return Filter{condition: none}
	case 1:
		return filters[0]
	}
	return Filter{join: join, of: filters}
}
