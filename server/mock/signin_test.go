package mock_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
)

// claims returns those of a token.
func claims(t *testing.T, token any) (claims jwt.MapClaims) {
	t.Helper()
	if _, _, err := jwt.NewParser().ParseUnverified(fmt.Sprint(token), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestSignIn signs the sandbox's people in at both vendors' endpoints and uses what it gets.
func TestSignIn(t *testing.T) {
	t.Parallel()
	m, err := mock.New(t.Context(), server.Config{}, mock.DefaultSeed)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	send := func(method, path, body string, header ...string) (int, map[string]any, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		text, _ := io.ReadAll(w.Body)
		var read map[string]any
		_ = json.Unmarshal(text, &read)
		return w.Code, read, string(text)
	}
	const (
		worthPath = "/auth/api/v1/customer/sign-in"
		uaa       = "/uaa/oauth/token"
		graceURL  = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/0cfecc31-e3f4-4fce-9a27-f36ea6256a10"
		adaURL    = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
		grace     = `{"email":"Grace.Hopper@example.com","password":"` + mock.Password + `"}`
		ada       = `{"email":"ada.lovelace@example.com","password":"` + mock.Password + `"}`
	)
	at := func(v map[string]any, path string) any {
		var value any = v
		for name := range strings.SplitSeq(path, ".") {
			object, _ := value.(map[string]any)
			value = object[name]
		}
		return value
	}
	status, answer, text := send(http.MethodPost, worthPath, grace)
	token, _ := at(answer, "data.id_token").(string)
	if status != 200 || token == "" || answer["message"] != "Logged In successfully" || at(answer, "data.user_details.id") != "0cfecc31-e3f4-4fce-9a27-f36ea6256a10" ||
		at(answer, "data.customer_details.id") != "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1" || at(answer, "data.user_details.subrole.code") != "cro" {
		t.Fatalf("%d %s", status, text)
	}
	if status, _, text := send(http.MethodGet, graceURL, "", "Authorization", "Bearer "+token); status != 200 {
		t.Errorf("with its token: %d %s", status, text)
	}
	refresh, _ := at(answer, "data.refresh_token").(string)
	status, answer, text = send(http.MethodPost, "/auth/api/v1/refresh-token/customer", `{"refresh_token":"`+refresh+`"}`)
	if status != 200 || at(answer, "data.id_token") != token || at(answer, "data.access_token") == nil {
		t.Errorf("refresh: %d %s", status, text)
	}
	if status, _, text := send(http.MethodPost, "/auth/api/v1/customer/logout", "", "Authorization", "Bearer "+token); status != 200 || !strings.Contains(text, "Logout successful") {
		t.Errorf("logout: %d %s", status, text)
	}
	form := "grant_type=password&scope=api&password=" + mock.Password + "&username="
	asForm := []string{"Content-Type", "application/x-www-form-urlencoded", "Authorization", "Basic bW9jay1jbGllbnQ6bW9jay1zZWNyZXQ="}
	for _, name := range []string{"gracehopper", "grace.hopper%40example.com"} {
		status, answer, text := send(http.MethodPost, uaa, form+name, asForm...)
		access, _ := answer["access_token"].(string)
		if status != 200 || answer["token_type"] != "bearer" || answer["expires_in"] != 3600.0 || answer["refresh_token"] == nil || answer["jti"] == nil || answer["scope"] != "openid" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if status, _, text := send(http.MethodGet, "/account/api/v1/customers/3393/users/", "", "Authorization", "Bearer "+access, "current-company-id", "5251"); status != 200 {
			t.Errorf("%s's token: %d %s", name, status, text)
		}
	}
	for _, tc := range []struct {
		method, path, body string
		header             []string
		status             int
		want               []string
	}{
		{"POST", worthPath, strings.Replace(grace, mock.Password, "wrong", 1), nil, 400, []string{`"message":"Incorrect username or password."`, `"errorCode":"INVALID"`, `"errorName":"SignInApiError"`}},
		{"POST", worthPath, strings.Replace(grace, "Grace", "nobody", 1), nil, 400, []string{`"message":"Incorrect username or password."`, `"errorName":"SignInApiError"`}},
		{"POST", worthPath, "", nil, 400, []string{`"errorName":"ValidationMiddlewareError"`}},
		{"POST", worthPath, `{"email":7,"password":""}`, nil, 400, []string{"email is required, password is required"}},
		{"POST", worthPath, `{"email":"x","password":"y"}`, nil, 400, []string{"email must be an e-mail address"}},
		{"POST", worthPath, `{"email":"foo@@ bar","password":"y"}`, nil, 400, []string{"email must be an e-mail address", "ValidationMiddlewareError"}},
		{"POST", worthPath, `{"email":"foo@","password":"y"}`, nil, 400, []string{"email must be an e-mail address", "ValidationMiddlewareError"}},
		{"POST", worthPath, strings.Replace(grace, "{", `{"extra":1,`, 1), nil, 400, []string{"is not allowed", "ValidationMiddlewareError"}},
		{"GET", worthPath, "", nil, 405, []string{`"errorCode":"NOT_ALLOWED"`, `"MethodNotAllowedError"`, `"Method Not Allowed"`}},
		{"POST", "/auth/api/v1/refresh-token/customer", "", nil, 400, []string{"Refresh Token is Required", "SignInApiError"}},
		{"POST", "/auth/api/v1/refresh-token/customer", `{"refresh_token":"stolen"}`, nil, 400, []string{"Refresh Token is Required"}},
		{"POST", "/auth/api/v1/refresh-token/customer", `{"refresh_token":"` + refresh + `","extra":1}`, nil, 200, []string{`"message":"Success"`}},
		{"PUT", "/auth/api/v1/refresh-token/customer", "", nil, 405, []string{`"MethodNotAllowedError"`}},
		{"DELETE", "/auth/api/v1/customer/logout", "", nil, 405, []string{`"MethodNotAllowedError"`}},
		{"POST", "/auth/api/v1/customer/logout", "", nil, 401, []string{"UNAUTHENTICATED"}},
		{"POST", "/auth/api/v1/customer/logout", "", []string{"Authorization", "Bearer stolen"}, 401, []string{"AuthenticationMiddlewareError"}},
		{"GET", uaa, "", nil, 405, []string{`"message":"METHOD_NOT_ALLOWED"`, `"path":"` + uaa + `"`}},
		{"PUT", uaa, form, asForm, 405, []string{`"message":"METHOD_NOT_ALLOWED"`}},
		{"POST", uaa, form + "gracehopper", asForm[:2], 401, []string{"INVALID_CLIENT", `"timestamp":17`, `"errors":[]`}},
		{"POST", uaa, form + "gracehopper", asForm[2:], 400, []string{"INVALID_REQUEST"}},
		{"POST", uaa, "grant_type=password", asForm, 400, []string{"INVALID_REQUEST"}},
		{"POST", uaa, strings.Replace(form, "=password", "=client_credentials", 1) + "gracehopper", asForm, 400, []string{"INVALID_REQUEST"}},
		{"POST", uaa, strings.Replace(form, mock.Password, "wrong", 1) + "gracehopper", asForm, 403, []string{"ACCESS_DENIED", "Authentication failed due to incorrect credentials"}},
		{"POST", uaa, form + "nobody", asForm, 403, []string{"ACCESS_DENIED"}},
	} {
		status, _, text := send(tc.method, tc.path, tc.body, tc.header...)
		for _, want := range tc.want {
			if status != tc.status || !strings.Contains(text, want) {
				t.Errorf("%s %s %s: %d %s, want %d %s", tc.method, tc.path, tc.body, status, text, tc.status, want)
			}
		}
	}
	for email, codes := range map[string]string{"ada.lovelace@example.com": "[customer_user:read]", "grace.hopper@example.com": "[customer_user:read customer_user:write customer_user:create]"} {
		_, answer, text := send(http.MethodPost, worthPath, strings.Replace(grace, "Grace.Hopper@example.com", email, 1))
		listed := []any{}
		for _, p := range at(answer, "data.permissions").([]any) {
			listed = append(listed, p.(map[string]any)["code"])
		}
		id, access := claims(t, at(answer, "data.id_token")), claims(t, at(answer, "data.access_token"))
		if fmt.Sprint(listed) != codes || fmt.Sprint(id["permissions"]) != codes {
			t.Errorf("%s may do %v and by the token %v, want %s", email, listed, id["permissions"], codes)
		}
		if id["custom:id"] != at(answer, "data.user_details.id") || id["sub"] == id["custom:id"] || id["sub"] != id["cognito:username"] || access["sub"] != id["sub"] ||
			id["token_use"] != "id" || access["token_use"] != "access" || id["email"] != at(answer, "data.user_details.email") || id["given_name"] == nil || access["username"] == nil {
			t.Errorf("%s: claims %v and %v\n%s", email, id, access, text)
		}
	}
	// A user who may not sign in any more.
	if status, _, text := send(http.MethodPatch, adaURL, `{"status":"INACTIVE"}`, "Authorization", "Bearer "+token, "Content-Type", "application/json"); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if status, _, text := send(http.MethodPost, worthPath, ada); status != 400 || !strings.Contains(text, "Your account has been disabled, Contact Support.") {
		t.Errorf("inactive: %d %s", status, text)
	}
	if status, _, text := send(http.MethodPost, uaa, form+"adalovelace", asForm...); status != 403 {
		t.Errorf("inactive: %d %s", status, text)
	}
}
