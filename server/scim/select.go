package scim

import (
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/gen/scimapi"
)

// selection says which attributes of a resource an answer has (RFC 7644, section 3.9). Its zero value selects all.
type selection struct {
	only    []string // in lower case; without any, all are selected but those in without
	without []string
}

// selectionOf reads the parameters attributes and excludedAttributes, of which the first one takes precedence. Names that are no
// attribute's select nothing.
func selectionOf(attributes, excluded *string) selection {
	return selection{attributeNames(attributes), attributeNames(excluded)}
}

// attributeNames splits a list of names, which may begin with the URN of the core schema.
func attributeNames(list *string) (names []string) {
	if list == nil {
		return nil
	}
	for name := range strings.SplitSeq(*list, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		for _, urn := range []string{userURN, groupURN} {
			name = strings.TrimPrefix(name, strings.ToLower(urn)+":")
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// has reports whether the answer has an attribute or a sub-attribute, named in lower case such as name.givenname. It has an attribute of
// which it has a part.
func (s selection) has(path string) bool {
	within := func(path string) func(string) bool {
		return func(name string) bool { return name == path || strings.HasPrefix(path, name+".") }
	}
	if len(s.only) == 0 {
		return !slices.ContainsFunc(s.without, within(path))
	}
	return slices.ContainsFunc(s.only, func(name string) bool { return within(path)(name) || strings.HasPrefix(name, path+".") })
}

// of returns the user with the selected attributes. It always has schemas and id.
func (s selection) of(u scimapi.User) scimapi.User {
	if len(s.only) == 0 && len(s.without) == 0 {
		return u
	}
	drop(s, "externalid", &u.ExternalID)
	drop(s, "username", &u.UserName)
	drop(s, "displayname", &u.DisplayName)
	drop(s, "active", &u.Active)
	if drop(s, "meta", &u.Meta) {
		s.ofMeta(u.Meta)
	}
	if drop(s, "name", &u.Name) {
		drop(s, "name.familyname", &u.Name.FamilyName)
		drop(s, "name.givenname", &u.Name.GivenName)
	}
	if dropAll(s, "emails", &u.Emails) {
		for i := range u.Emails {
			drop(s, "emails.value", &u.Emails[i].Value)
			drop(s, "emails.type", &u.Emails[i].Type)
			drop(s, "emails.primary", &u.Emails[i].Primary)
		}
	}
	if dropAll(s, "phonenumbers", &u.PhoneNumbers) {
		for i := range u.PhoneNumbers {
			drop(s, "phonenumbers.value", &u.PhoneNumbers[i].Value)
			drop(s, "phonenumbers.type", &u.PhoneNumbers[i].Type)
		}
	}
	dropAll(s, "roles", &u.Roles)
	return u
}

func (s selection) ofMeta(m *scimapi.Meta) {
	drop(s, "meta.resourcetype", &m.ResourceType)
	drop(s, "meta.created", &m.Created)
	drop(s, "meta.lastmodified", &m.LastModified)
	drop(s, "meta.location", &m.Location)
	drop(s, "meta.version", &m.Version)
}

// drop sets an attribute to nil unless it is selected, and reports whether there is still a value.
func drop[T any](s selection, path string, value **T) bool {
	if !s.has(path) {
		*value = nil
	}
	return *value != nil
}

// dropAll is drop for an attribute with several values.
func dropAll[T any](s selection, path string, values *[]T) bool {
	if !s.has(path) {
		*values = nil
	}
	return len(*values) > 0
}
