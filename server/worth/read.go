package worth

import (
	"math"
	"strings"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/store"
)

// parentRoleID is the role_id of every subrole: the parent role of an account's own users.
const parentRoleID = 2

func toAPIUserDetails(u store.User, c store.Customer, roles *store.Catalogue) worthapi.UserDetails {
	shown := worthapi.UserDetails{
		ID:              u.UUID,
		FirstName:       u.FirstName,
		LastName:        u.LastName,
		Email:           u.Email,
		Mobile:          u.Mobile,
		IsEmailVerified: u.EmailVerified,
		IsFirstLogin:    u.FirstLogin,
		CreatedAt:       u.CreatedAt.Format(store.TimeLayout),
		CreatedBy:       u.CreatedBy,
		UpdatedAt:       u.UpdatedAt.Format(store.TimeLayout),
		UpdatedBy:       u.UpdatedBy,
		Status:          worthapi.UserState(u.Status),
		CompanyDetails: worthapi.CompanyDetails{
			ID:        c.UUID,
			Name:      c.Name,
			IsActive:  true,
			CreatedAt: c.CreatedAt.Format(store.TimeLayout),
			CreatedBy: c.CreatedBy,
			UpdatedAt: c.UpdatedAt.Format(store.TimeLayout),
			UpdatedBy: c.UpdatedBy,
		},
	}
	if role, ok := roles.Subrole(u.Roles); ok {
		shown.Subrole = &worthapi.UserSubrole{
			ID: *role.SubroleUUID, Code: *role.SubroleCode, Label: *role.SubroleLabel, RoleID: parentRoleID, DisplayName: *role.SubroleLabel,
		}
	}
	return shown
}

func toAPIUserRecord(u store.User, roles *store.Catalogue) worthapi.UserRecord {
	shown := worthapi.UserRecord{
		ID:              u.UUID,
		FirstName:       u.FirstName,
		LastName:        u.LastName,
		Email:           u.Email,
		Mobile:          u.Mobile,
		IsEmailVerified: u.EmailVerified,
		IsFirstLogin:    u.FirstLogin,
		CreatedAt:       u.CreatedAt.Format(store.TimeLayout),
		CreatedBy:       u.CreatedBy,
		UpdatedAt:       u.UpdatedAt.Format(store.TimeLayout),
		UpdatedBy:       u.UpdatedBy,
		ExtAuthRefID:    u.ExternalAuthID,
		Status:          worthapi.UserState(u.Status),
	}
	if role, ok := roles.Subrole(u.Roles); ok {
		shown.Subrole = &worthapi.RecordSubrole{
			ID: *role.SubroleUUID, Code: *role.SubroleCode, DisplayName: *role.SubroleLabel, Label: *role.SubroleLabel, Description: *role.SubroleLabel,
		}
	}
	return shown
}

// maxWhole is the maximum number of records in a list without pages.
const maxWhole = 1000

// page is the requested part of a list.
type page struct {
	whole        bool
	number, size int64
}

const defaultPageSize = 20

func fromAPIPage(p worthapi.ListCustomerUsersParams) page {
	requested := page{number: 1, size: defaultPageSize}
	if p.Pagination != nil && !*p.Pagination {
		return page{whole: true, number: 1, size: maxWhole}
	}
	if p.Page != nil {
		requested.number = *p.Page
	}
	if p.ItemsPerPage != nil {
		requested.size = *p.ItemsPerPage
	}
	return requested
}

func (p page) window() store.Window {
	if p.number-1 > math.MaxInt64/p.size {
		// The offset would overflow. No list is that long.
		return store.Window{Offset: math.MaxInt64, Limit: p.size}
	}
	return store.Window{Offset: (p.number - 1) * p.size, Limit: p.size}
}

func (p page) pages(total int64) int64 {
	if p.whole {
		return min(total, 1)
	}
	return (total + p.size - 1) / p.size
}

// sortFields maps this dialect's names to the fields that a list can be sorted by.
var sortFields = map[string]store.SortField{
	"id":         store.SortByUUID,
	"first_name": store.SortByFirstName,
	"last_name":  store.SortByLastName,
	"email":      store.SortByEmail,
	"mobile":     store.SortByMobile,
	"status":     store.SortByStatus,
	"created_at": store.SortByCreatedAt,
	"updated_at": store.SortByUpdatedAt,
}

// fromAPIQuery returns the query of a list. Each filter has two parameter names. If both are given, both must match.
func fromAPIQuery(p worthapi.ListCustomerUsersParams, roles *store.Catalogue) store.Query {
	var q store.Query
	for _, id := range []*worthapi.UserUUID{p.ID, p.SearchFilterID} {
		if id != nil {
			q.Filters = append(q.Filters, store.HasUUID(*id))
		}
	}
	for _, status := range []*worthapi.UserState{p.Status, p.SearchFilterStatus} {
		if status != nil {
			q.Filters = append(q.Filters, store.HasStatus(store.Status(*status)))
		}
	}
	for _, f := range []struct {
		filter func(string) store.Filter
		texts  [2]*string
	}{
		{store.HasFirstName, [2]*string{p.FirstName, p.SearchFilterFirstName}},
		{store.HasLastName, [2]*string{p.LastName, p.SearchFilterLastName}},
		{store.HasEmail, [2]*string{p.Email, p.SearchFilterEmail}},
		{store.HasMobile, [2]*string{p.Mobile, p.SearchFilterMobile}},
		{subroleFilter(roles), [2]*string{p.SubroleCode, p.SearchFilterSubroleCode}},
	} {
		for _, text := range f.texts {
			if text != nil {
				q.Filters = append(q.Filters, f.filter(*text))
			}
		}
	}
	if p.Search != nil {
		q.Filters = append(q.Filters, store.Mentions(*p.Search))
	}
	if p.Sort != nil {
		name, descending := strings.CutPrefix(*p.Sort, "-")
		q.Sort, q.Descending = sortFields[name], descending
	}
	return q
}

// subroleFilter returns a filter by the code of the subrole that a user is shown with. An unknown code matches no user.
func subroleFilter(roles *store.Catalogue) func(string) store.Filter {
	return func(code string) store.Filter {
		role, ok := roles.BySubroleCode(code)
		if !ok {
			return store.Nobody()
		}
		return store.HasSubrole(role, roles)
	}
}
