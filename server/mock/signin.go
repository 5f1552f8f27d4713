package mock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// Password is the password of every user of a mock.
const Password = "Mock-password-1" // #nosec G101 -- it is public by design

// The client of Testinium's token endpoint, as its Basic credential has it.
const (
	ClientID     = "mock-client"
	ClientSecret = "mock-secret" // #nosec G101 -- it is public by design
)

// tokenSeconds is how long the vendors document their tokens to be valid. A mock's are valid for longer, as its clock stands still.
const tokenSeconds = 3600

// maxSignIn is the maximum size of a body of a sign-in.
const maxSignIn = 64 << 10

// signIn answers the vendors' sign-in endpoints for one instance, as they are documented.
type signIn struct {
	store    func() *store.Store
	verifier *auth.Verifier
	now      func() time.Time
}

// routes returns what answers POST, by paths.
func (s signIn) routes() map[string]server.SignIn {
	return map[string]server.SignIn{
		"/auth/api/v1/customer/sign-in":       {Dialect: "worth", Post: s.worth(s.worthSignIn)},
		"/auth/api/v1/refresh-token/customer": {Dialect: "worth", Post: s.worth(s.worthRefresh)},
		"/auth/api/v1/customer/logout":        {Dialect: "worth", Post: s.worth(s.worthLogout)},
		"/uaa/oauth/token":                    {Dialect: "testinium", Post: s.testinium},
	}
}

// vendorError is an error of a sign-in as a vendor words it.
type vendorError struct {
	status              int
	code, name, message string
}

func (e *vendorError) Error() string { return e.message }

func invalid(message string) error {
	return &vendorError{http.StatusBadRequest, "INVALID", "ValidationMiddlewareError", message}
}

func refused(message string) error {
	return &vendorError{http.StatusBadRequest, "INVALID", "SignInApiError", message}
}

// worth renders what a handler returns in Worth's envelope.
func (s signIn) worth(handle func(*http.Request) (message string, data any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		message, data, err := handle(r)
		var wrong *vendorError
		switch {
		case errors.As(err, &wrong):
			if wrong.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			writeJSON(w, mediaWorth, wrong.status, map[string]any{"status": "fail", "message": wrong.message, "errorCode": wrong.code, "data": map[string]any{"errorName": wrong.name}})
		case err != nil:
			writeJSON(w, mediaWorth, http.StatusInternalServerError, map[string]any{"status": "error", "message": "Internal Server Error", "errorCode": "UNKNOWN_ERROR", "data": map[string]any{"errorName": "Error"}})
		case data == nil:
			writeJSON(w, mediaWorth, http.StatusOK, map[string]any{"status": "success", "message": message})
		default:
			writeJSON(w, mediaWorth, http.StatusOK, map[string]any{"status": "success", "message": message, "data": data})
		}
	}
}

// The media types of the two vendors' answers.
const (
	mediaWorth     = "application/json; charset=utf-8"
	mediaTestinium = "application/json"
)

func writeJSON(w http.ResponseWriter, media string, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that is gone needs no answer
}

// object reads a body that is a JSON object.
func object(r *http.Request) (members map[string]any, err error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxSignIn))
	if err != nil {
		return nil, invalid("the body could not be read")
	}
	if json.Unmarshal(text, &members) != nil || members == nil {
		return nil, invalid("the body must be a JSON object")
	}
	return members, nil
}

// texts reads a body that is a JSON object of text, with these members and no others.
func texts(r *http.Request, names ...string) (map[string]string, error) {
	members, err := object(r)
	if err != nil {
		return nil, err
	}
	var wrong []string
	values := map[string]string{}
	for _, name := range names {
		value, ok := members[name].(string)
		if !ok || value == "" {
			wrong = append(wrong, name+" is required")
		}
		values[name] = value
		delete(members, name)
	}
	for name := range members {
		wrong = append(wrong, store.Excerpt(name)+" is not allowed")
	}
	if wrong != nil {
		slices.Sort(wrong)
		return nil, invalid(strings.Join(wrong, ", "))
	}
	return values, nil
}

// find returns the user with an e-mail or a username, and the user's customer.
func (s signIn) find(r *http.Request, name string, byUsername bool) (u store.User, c store.Customer, err error) {
	customers, err := s.store().CustomersAfter(r.Context(), 0, 100)
	if err != nil {
		return u, c, err
	}
	fields := []store.Field{store.FieldEmail}
	if byUsername {
		fields = append(fields, store.FieldUsername)
	}
	for _, c := range customers {
		for _, f := range fields {
			users, err := s.store().UsersWith(r.Context(), c.ID, f, name)
			if err != nil {
				return u, c, err
			}
			if len(users) > 0 {
				return users[0], c, nil
			}
		}
	}
	return u, c, store.ErrNotFound
}

// permission is an element of Worth's list of permissions.
type permission struct {
	ID    int             `json:"id"`
	Code  auth.Permission `json:"code"`
	Label string          `json:"label"`
}

// permissions returns those of a user's that concern users.
func (s signIn) permissions(u store.User) []permission {
	all := []permission{
		{7, auth.PermissionRead, "Customer user Read Only "}, {8, auth.PermissionWrite, "Customer user Read Write"}, {9, auth.PermissionCreate, "Customer user Create"},
	}
	if s.store().Catalogue().Rank(u.Roles) < 2 {
		return all[:1]
	}
	return all
}

func (s signIn) worthSignIn(r *http.Request) (string, any, error) {
	body, err := texts(r, "email", "password")
	if err != nil {
		return "", nil, err
	}
	if !emailPattern.MatchString(body["email"]) {
		return "", nil, invalid("email must be an e-mail address")
	}
	u, c, err := s.find(r, body["email"], false)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && body["password"] != Password:
		return "", nil, refused("Incorrect username or password.")
	case err != nil:
		return "", nil, err
	case u.Status == store.StatusInactive:
		return "", nil, refused("Your account has been disabled, Contact Support.")
	case u.Status != store.StatusActive:
		return "", nil, refused("Onboard the platform via Invitation Link sent to your email or Contact Support.")
	case u.FirstLogin || !u.EmailVerified:
		return "", nil, refused("Your account setup is incomplete. Please contact support for assistance.")
	}
	tokens, err := s.worthTokens(u, c)
	if err != nil {
		return "", nil, err
	}
	details := map[string]any{"id": u.UUID, "first_name": u.FirstName, "last_name": u.LastName, "email": u.Email, "is_email_verified": u.EmailVerified}
	if role, ok := s.store().Catalogue().Subrole(u.Roles); ok {
		details["subrole"] = map[string]any{"id": role.SubroleUUID, "code": role.SubroleCode, "label": role.SubroleLabel}
	}
	return "Logged In successfully", map[string]any{
		"user_details": details, "access_token": tokens["access_token"], "id_token": tokens["id_token"], "refresh_token": refreshPrefix + u.UUID.String(),
		"permissions": s.permissions(u), "customer_details": map[string]any{"id": c.UUID, "name": c.Name},
	}, nil
}

// emailPattern is the syntax of e-mails.
var emailPattern = func() *regexp.Regexp {
	pattern, err := store.CompilePattern(store.EmailPattern)
	if err != nil {
		panic(err) // it is a constant
	}
	return pattern
}()

// refreshPrefix begins the refresh token of a user, whose UUID follows. It protects nothing, as nothing of a mock does.
const refreshPrefix = "mock-refresh."

// worthRefresh takes the token from the body, since Worth documents no way to send it, but that it is required.
func (s signIn) worthRefresh(r *http.Request) (string, any, error) {
	body, err := object(r)
	token, _ := body["refresh_token"].(string)
	if err != nil || token == "" {
		return "", nil, refused("Refresh Token is Required")
	}
	u, c, err := s.refreshed(r, token)
	if err != nil {
		return "", nil, err
	}
	tokens, err := s.worthTokens(u, c)
	return "Success", tokens, err
}

// refreshed returns the user of a refresh token.
func (s signIn) refreshed(r *http.Request, token string) (store.User, store.Customer, error) {
	id, err := uuid.Parse(strings.TrimPrefix(token, refreshPrefix))
	customers, failed := s.store().CustomersAfter(r.Context(), 0, 100)
	if failed != nil {
		return store.User{}, store.Customer{}, failed
	}
	for _, c := range customers {
		if err != nil || !strings.HasPrefix(token, refreshPrefix) {
			break
		}
		u, err := s.store().FindUser(r.Context(), store.UserByUUID(c.ID, id))
		if err == nil && u.Status == store.StatusActive {
			return u, c, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return u, c, err
		}
	}
	return store.User{}, store.Customer{}, refused("Refresh Token is Required")
}

func (s signIn) worthLogout(r *http.Request) (string, any, error) {
	authorization := r.Header.Values("Authorization")
	if len(authorization) == 0 {
		return "", nil, &vendorError{http.StatusUnauthorized, "UNAUTHENTICATED", "AuthenticationMiddlewareError", "Authorization header not present"}
	}
	_, err := s.verifier.Verify(authorization)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return "", nil, &vendorError{http.StatusUnauthorized, "UNAUTHENTICATED", "TokenExpiredError", "User Session Expired"}
	case err != nil:
		return "", nil, &vendorError{http.StatusUnauthorized, "ERR_UNAUTHORIZED", "AuthenticationMiddlewareError", "Unauthorized"}
	}
	return "Logout successful", nil, nil
}

// worthTokens returns the tokens of a user, with the claims that Worth's have. What there would be random follows from the user's UUID.
func (s signIn) worthTokens(u store.User, c store.Customer) (map[string]string, error) {
	derived := func(what string) string { return uuid.NewSHA1(u.UUID, []byte(what)).String() }
	subject := derived("sub")
	if u.ExternalAuthID != nil {
		subject = u.ExternalAuthID.String()
	}
	id, err := s.token(u, c, "id", subject, map[string]any{
		"token_use": "id", "email": u.Email, "email_verified": u.EmailVerified, "given_name": u.FirstName, "family_name": u.LastName,
		"cognito:username": subject, "updated_at": u.UpdatedAt.UnixMilli(), "aud": ClientID, "auth_time": Start.Unix(), "jti": derived("id"),
		"origin_jti": derived("origin"), "event_id": derived("event"),
	})
	if err != nil {
		return nil, err
	}
	access, err := s.token(u, c, "access", subject, map[string]any{
		"token_use": "access", "username": subject, "scope": "openid", "client_id": ClientID, "auth_time": Start.Unix(), "jti": derived("access"),
		"origin_jti": derived("origin"), "event_id": derived("event"),
	})
	return map[string]string{"id_token": id, "access_token": access}, err
}

// token signs a token for the user, which the mock accepts.
func (s signIn) token(u store.User, c store.Customer, issuer, subject string, others map[string]any) (string, error) {
	claims := auth.Claims{Subject: subject, UserID: &u.UUID, Customers: []string{strconv.FormatInt(c.ID, 10)}, Expires: validity, Issuer: "dragoman-mock-" + issuer, Others: others}
	for _, role := range s.store().Catalogue().In(u.Roles) {
		claims.Authorities = append(claims.Authorities, role.Name)
	}
	for _, p := range s.permissions(u) {
		claims.Permissions = append(claims.Permissions, p.Code)
	}
	token, err := auth.Sign([]byte(Secret), claims, Start)
	if err != nil {
		return "", fmt.Errorf("sign the mock's token: %w", err)
	}
	return token, nil
}

// testinium answers the token endpoint. Of its errors only codes and sentences are documented.
func (s signIn) testinium(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code, sentence string) {
		writeJSON(w, mediaTestinium, status, map[string]any{
			"timestamp": s.now().UnixMilli(), "status": status, "error": http.StatusText(status), "message": code, "description": sentence, "path": r.URL.Path, "errors": []any{},
		})
	}
	if id, secret, ok := r.BasicAuth(); !ok || id != ClientID || secret != ClientSecret {
		w.Header().Set("WWW-Authenticate", "Basic")
		fail(http.StatusUnauthorized, "INVALID_CLIENT", "The client's credential is wrong.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxSignIn)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		fail(http.StatusBadRequest, "INVALID_REQUEST", "The body must be a form.")
		return
	}
	name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	if r.PostForm.Get("grant_type") != "password" || name == "" || password == "" {
		fail(http.StatusBadRequest, "INVALID_REQUEST", "grant_type must be password, and username and password are required.")
		return
	}
	u, c, err := s.find(r, name, true)
	if err == nil && (password != Password || u.Status != store.StatusActive || !u.AccountNonExpired || !u.AccountNonLocked || !u.CredentialNonExpired) {
		err = store.ErrNotFound
	}
	var token string
	if err == nil {
		token, err = s.token(u, c, "uaa", u.UUID.String(), nil)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		fail(http.StatusForbidden, "ACCESS_DENIED", "Authentication failed due to incorrect credentials")
	case err != nil:
		fail(http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", "An unexpected error occurred on the server side.")
	default:
		writeJSON(w, mediaTestinium, http.StatusOK, map[string]any{"access_token": token, "token_type": "bearer", "refresh_token": refreshPrefix + u.UUID.String(),
			"expires_in": tokenSeconds, "scope": "openid", "jti": u.UUID})
	}
}
