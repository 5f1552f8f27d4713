package cli

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/google/uuid"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// receiver is where traces are sent to, by either protocol.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu       sync.Mutex
	received []*trace.ResourceSpans
	headers  []string // what the header x-team said
}

func (r *receiver) take(request *collector.ExportTraceServiceRequest, header string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, request.ResourceSpans...)
	r.headers = append(r.headers, header)
}

// Export takes traces by gRPC.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.take(request, "")
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes traces by HTTP.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	var message collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(text, &message)
	}
	if err != nil || request.URL.Path != "/v1/traces" {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	r.take(&message, request.Header.Get("X-Team"))
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// listen gives where the receiver listens for a protocol.
func (r *receiver) listen(t *testing.T, protocol string) string {
	t.Helper()
	if protocol != "grpc" {
		s := httptest.NewServer(r)
		t.Cleanup(s.Close)
		return s.URL
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, r)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
	return "http://" + l.Addr().String()
}

// spans gives all spans that were received.
func (r *receiver) spans() []*trace.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*trace.Span
	for _, resource := range r.received {
		for _, scope := range resource.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

func attributesOf(s *trace.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[a.Key] = a.Value.GetStringValue()
		if n := a.Value.GetIntValue(); n != 0 {
			all[a.Key] = http.StatusText(int(n))
		}
	}
	return all
}

const (
	tracedTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	tracedParent = "00f067aa0ba902b7"
	tracedEmail  = "canary.subject@example.com"
)

// TestSpans runs the program with the standard variables, and receives what it sends when it stops.
func TestSpans(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		for _, protocol := range []string{"http/protobuf", "grpc"} {
			t.Run(protocol, func(t *testing.T) {
				var r receiver
				said := runTraced(t, database, writeTraced(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+r.listen(t, protocol), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
					"OTEL_EXPORTER_OTLP_HEADERS=x-team=directory", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip")
				checkSpans(t, &r, strings.HasPrefix(database, "postgres"))
				if !strings.Contains(said, `"request_id":"traced-1","method":"PATCH"`) || !strings.Contains(said, `"trace_id":"`+tracedTrace+`"`) {
					t.Errorf("no line of the log has the request's id and its trace's: %s", said)
				}
				if protocol != "grpc" && !slices.Contains(r.headers, "directory") {
					t.Errorf("the headers that were asked for are %q", r.headers)
				}
			})
		}
	})
}

// runTraced runs the program, has f ask it with a token of a manager, and gives its log once it has stopped.
func runTraced(t *testing.T, database string, f func(url, token string), variables ...string) string {
	t.Helper()
	variables = append(variables, "DRAGOMAN_SECRET_KEY="+keyOfNow, "DRAGOMAN_JWT_SECRET="+secretOfTokens, "DRAGOMAN_DATABASE="+database)
	s := storetest.Open(t, database)
	if _, err := s.FindCustomer(t.Context(), store.CustomerByID(servertest.Sandbox)); errors.Is(err, store.ErrNotFound) {
		storetest.Directory(t, s) // the other protocol's run has not done so
	}
	id := servertest.GraceUUID
	token, err := auth.Sign([]byte(secretOfTokens), auth.Claims{
		Subject: tracedEmail, UserID: &id, Customers: []string{"3393"}, Authorities: []string{"ROLE_COMPANY_ADMIN"}, Expires: time.Hour,
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, t.TempDir(), variables, []string{"serve", "--listen=127.0.0.1:0", "--log-format=json", "--trusted-proxy=127.0.0.1/32"}, func(address string) {
		f("http://"+address, token)
	})
}

// writeTraced writes to a user as part of a trace.
func writeTraced(t *testing.T) func(url, token string) {
	return func(url, token string) {
		path := "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + servertest.AdaUUID.String()
		body := `{"first_name":"CanaryName` + uuid.NewString() + `"}`
		for _, path := range []string{path, "/livez"} {
			status, _ := sendTraced(t, http.MethodPatch, url+path+"?canary=CanaryQuery", token, body)
			if path != "/livez" && status != http.StatusOK {
				t.Errorf("the write is answered %d", status)
			}
		}
	}
}

// sendTraced sends a request as part of a trace.
func sendTraced(t *testing.T, method, url, token, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-Request-Id", "traced-1")
	request.Header.Set("Traceparent", "00-"+tracedTrace+"-"+tracedParent+"-01")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(text)
}

// TestSpansHideProvisioningTokens issues a token and uses it where it is valid and where it is not. No span has the token or its hash.
func TestSpansHideProvisioningTokens(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		var r receiver
		var issued struct{ Token, ID string }
		const tokens = "/directory/v1/customers/3393/provisioning-tokens"
		said := runTraced(t, database, func(url, token string) {
			status, answer := sendTraced(t, http.MethodPost, url+tokens, token, `{}`)
			if err := json.Unmarshal([]byte(answer), &issued); err != nil || status != http.StatusCreated {
				t.Errorf("%d %s: %v", status, answer, err)
				return
			}
			users := url + "/scim/v2/" + servertest.SandboxUUID.String() + "/Users"
			for _, c := range []struct {
				method, url, token string
				want               int
			}{
				{http.MethodGet, users, issued.Token, http.StatusOK},
				{http.MethodGet, users, strings.ToUpper(issued.Token), http.StatusUnauthorized},
				{http.MethodGet, url + tokens, issued.Token, http.StatusUnauthorized},
				{http.MethodDelete, url + tokens + "/" + issued.ID, token, http.StatusNoContent},
			} {
				if status, answer := sendTraced(t, c.method, c.url, c.token, ""); status != c.want {
					t.Errorf("%s %s: %d %s", c.method, c.url, status, answer)
				}
			}
		}, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.listen(t, "http/protobuf"), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
		all := r.text(t)
		if !strings.Contains(all, "provisioning_tokens") || issued.Token == "" {
			t.Errorf("no span is of a provisioning token: %s", all)
		}
		findSecrets(t, []string{issued.Token, provisioning.Hash(issued.Token)}, "the log", said)
		findSecrets(t, []string{issued.Token, provisioning.Hash(issued.Token)}, "the spans", all)
	})
}

func checkSpans(t *testing.T, r *receiver, postgres bool) {
	t.Helper()
	var request *trace.Span
	var statements []string
	for _, s := range r.spans() {
		switch s.Kind {
		case trace.Span_SPAN_KIND_SERVER:
			if request != nil {
				t.Errorf("there is a second span of a request: %v", s)
			}
			request = s
		case trace.Span_SPAN_KIND_CLIENT:
			statements = append(statements, s.Name)
		}
	}
	if request == nil {
		t.Fatalf("no span of a request was sent: %v", r.spans())
	}
	const route = "/auth/api/v1/customers/:customerID/users/:userID"
	attributes := attributesOf(request)
	for name, want := range map[string]string{
		"http.request.method": "PATCH", "http.route": route, "http.response.status_code": "OK", "url.scheme": "http",
		"dragoman.dialect": "worth", "dragoman.operation": "updateCustomerUser", "dragoman.request_id": "traced-1",
	} {
		if attributes[name] != want {
			t.Errorf("%s is %q, want %q", name, attributes[name], want)
		}
	}
	if request.Name != "PATCH "+route || hex(request.TraceId) != tracedTrace || hex(request.ParentSpanId) != tracedParent {
		t.Errorf("the request's span is %q, of trace %x below %x", request.Name, request.TraceId, request.ParentSpanId)
	}
	system, wanted := "sqlite", []string{"SELECT", "UPDATE", "INSERT", "COMMIT"}
	if postgres {
		system, wanted = "postgresql", []string{"SELECT", "UPDATE"}
	}
	for _, want := range wanted {
		if !slices.Contains(statements, want) {
			t.Errorf("the statements are %q, without %s", statements, want)
		}
	}
	for _, s := range r.spans() {
		if s == request {
			continue
		}
		if a := attributesOf(s); string(s.ParentSpanId) != string(request.SpanId) || a["db.system.name"] != system || a["db.query.text"] == "" {
			t.Errorf("a statement's span is %v", s)
		}
		if s.StartTimeUnixNano < request.StartTimeUnixNano || s.EndTimeUnixNano > request.EndTimeUnixNano {
			t.Errorf("%s is not within its request", s.Name)
		}
	}
	all := r.text(t)
	for _, want := range []string{`"dragoman"`, `"deployment.environment.name"`} {
		if !strings.Contains(all, want) {
			t.Errorf("the resource has no %s", want)
		}
	}
	findSecrets(t, []string{"Canary", tracedEmail, secretOfTokens, keyOfNow, servertest.AdaUUID.String(), "eyJhbGciOi"}, "the spans", all)
}

// text is all that was received.
func (r *receiver) text(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, resource := range r.received {
		text, err := protojson.Marshal(resource)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func hex(id []byte) string {
	text := make([]byte, 0, 2*len(id))
	for _, b := range id {
		text = append(text, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
	}
	return string(text)
}

// TestTracingOffByDefault: some variables turn it off, whatever others say.
func TestTracingOffByDefault(t *testing.T) {
	t.Parallel()
	for _, variables := range [][]string{
		{}, {"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT="}, {"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT="},
	} {
		var r receiver
		if len(variables) > 0 {
			variables[1] += r.listen(t, "http/protobuf")
		}
		said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", writeTraced(t), variables...)
		if len(r.spans()) > 0 || strings.Contains(said, "trace_id") {
			t.Errorf("%q: %d spans were sent: %s", variables, len(r.spans()), said)
		}
	}
}

// badVariables are variables of OpenTelemetry's with values that cannot be used, several to a variable. S3CRET is in none of its messages.
var badVariables = map[string][]string{
	"OTEL_SDK_DISABLED":       {"1", "S3CRET"},
	"OTEL_TRACES_EXPORTER":    {"console", "otlp,console", "zipkin", "S3CRET,,", "none,otlp"},
	"OTEL_PROPAGATORS":        {"b3", "tracecontext,S3CRET", ","},
	"OTEL_TRACES_SAMPLER":     {"sometimes", "jaeger_remote"},
	"OTEL_BSP_MAX_QUEUE_SIZE": {"-1", "0", "x", "99999999999999999999", "2147483647"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": {"-1", "0", "5000", "1.5"},
	"OTEL_BSP_SCHEDULE_DELAY": {"-1", "0", "5s", "9223372036854775807"}, "OTEL_BSP_EXPORT_TIMEOUT": {"-1", "soon"},
	"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"-1", "S3CRET"}, "OTEL_ATTRIBUTE_COUNT_LIMIT": {"-5", "x"}, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"-1", "x"},
	"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": {"-1", "x"}, "OTEL_SPAN_EVENT_COUNT_LIMIT": {"-1", "x"}, "OTEL_SPAN_LINK_COUNT_LIMIT": {"-1", "x"},
	"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": {"-1", "x"}, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": {"-1", "x"},
	"OTEL_EXPORTER_OTLP_PROTOCOL": {"http/json", "S3CRET"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": {"http/json", "tcp"},
	"OTEL_EXPORTER_OTLP_HEADERS": {"api-key=S3CRET%zz", "S3CRET", "x=1,=S3CRET", "x=%0AS3CRET", "a b=S3CRET"}, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": {"api-key=S3CRET%", "x=%ffS3CRET"},
	"OTEL_EXPORTER_OTLP_ENDPOINT":        {"http://127.0.0.1:1/S3CRET%", "http://u:S3CRET%zz@127.0.0.1:1", "S3CRET://x", "127.0.0.1:4318", "http://127.0.0.1:0"},
	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": {"http://127.0.0.1:1/S3CRET%zz", "//S3CRET", "https://"},
	"OTEL_EXPORTER_OTLP_TIMEOUT":         {"-1", "10s"}, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": {"S3CRET", "-1"},
	"OTEL_EXPORTER_OTLP_COMPRESSION": {"brotli", "S3CRET"}, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": {"zstd"},
	"OTEL_EXPORTER_OTLP_INSECURE": {"yes"}, "OTEL_EXPORTER_OTLP_TRACES_INSECURE": {"S3CRET"},
	"OTEL_EXPORTER_OTLP_CERTIFICATE": {"/none/S3CRET"}, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": {"/dev/null"},
	"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": {"/none/S3CRET"}, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": {"/dev/null"},
	"OTEL_RESOURCE_ATTRIBUTES": {"a=b,", "S3CRET", "a=S3CRET%zz", "=S3CRET", "a=%ff", "a=b,,c=d"}, "OTEL_SERVICE_NAME": {"S3CRET\xff"},
}

// TestInvalidTracingVariables starts the program with one bad value of as many variables as go together, by either protocol: it
// serves, warns once of each by its name, and tells no value.
func TestInvalidTracingVariables(t *testing.T) {
	t.Parallel()
	most := 0
	for _, values := range badVariables {
		most = max(most, len(values))
	}
	for i := range most {
		for _, protocol := range []string{"http/protobuf", "grpc"} {
			t.Run(fmt.Sprintf("%d/%s", i, protocol), func(t *testing.T) {
				t.Parallel()
				var r receiver
				good := map[string]string{
					"OTEL_TRACES_EXPORTER": "OTLP", "OTEL_EXPORTER_OTLP_PROTOCOL": strings.ToUpper(protocol),
					"OTEL_EXPORTER_OTLP_ENDPOINT": r.listen(t, protocol), "OTEL_EXPORTER_OTLP_HEADERS": "x-team=directory",
				}
				variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
				var bad []string
				for name, values := range badVariables {
					value := values[i%len(values)]
					// Of what decides whether and where to send, every other run has the good value.
					if good[name] != "" && (i+len(name))%2 == 0 {
						value = good[name]
					} else {
						bad = append(bad, name)
					}
					variables = append(variables, name+"="+value)
				}
				said := serve(t, t.TempDir(), variables, []string{"serve", "--listen=127.0.0.1:0", "--log-format=json", "--log-level=debug"}, func(address string) {
					answer, err := http.Get("http://" + address + "/openapi")
					if err != nil {
						t.Error(err)
						return
					}
					answer.Body.Close()
				})
				for _, name := range bad {
					if n := strings.Count(said, `"variable":"`+name+`"`); n != 1 {
						t.Errorf("%s is named %d times: %s", name, n, said)
					}
				}
				if strings.Contains(said, "S3CRET") || strings.Contains(said, "panic") {
					t.Errorf("it tells a value: %s", said)
				}
				for line := range strings.Lines(said) {
					if !json.Valid([]byte(line)) {
						t.Errorf("a line of the log is not of its form: %s", line)
					}
				}
			})
		}
	}
}

// TestInvalidTracingVariable: traces are sent nevertheless, if the value is not about where to.
func TestInvalidTracingVariable(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{
		"OTEL_RESOURCE_ATTRIBUTES=a=b,", "OTEL_BSP_MAX_QUEUE_SIZE=-1", "OTEL_TRACES_EXPORTER=otlp,console", "OTEL_TRACES_EXPORTER=console",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "OTEL_EXPORTER_OTLP_HEADERS=api-key=S3CRET%zz,x-team=directory", "OTEL_SDK_DISABLED=1",
		"OTEL_EXPORTER_OTLP_TIMEOUT=-1", "OTEL_TRACES_SAMPLER=sometimes", "OTEL_TRACES_SAMPLER_ARG=NaN",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			var r receiver
			variables := []string{variable, "OTEL_EXPORTER_OTLP_ENDPOINT=" + r.listen(t, "http/protobuf")}
			name, _, _ := strings.Cut(variable, "=")
			if name == "OTEL_TRACES_SAMPLER_ARG" {
				variables = append(variables, "OTEL_TRACES_SAMPLER=TraceIDRatio")
			}
			said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", writeTraced(t), variables...)
			if len(r.spans()) == 0 || strings.Count(said, `"variable":"`+name+`"`) != 1 || strings.Contains(said, "S3CRET") {
				t.Errorf("%d spans are sent: %s", len(r.spans()), said)
			}
		})
	}
}

// TestValidTracingVariables, whatever the case of an enumeration's value.
func TestValidTracingVariables(t *testing.T) {
	t.Parallel()
	for _, variables := range [][]string{
		{"OTEL_TRACES_EXPORTER=OTLP", "OTEL_EXPORTER_OTLP_PROTOCOL=HTTP/Protobuf", "OTEL_SDK_DISABLED=False", "OTEL_EXPORTER_OTLP_COMPRESSION=GZIP"},
		{"OTEL_PROPAGATORS=tracecontext,baggage", "OTEL_TRACES_SAMPLER=Parentbased_Always_On", "OTEL_RESOURCE_ATTRIBUTES=a=b%2Cc,d=", "OTEL_BSP_SCHEDULE_DELAY=100"},
		{"OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=10", "OTEL_EXPORTER_OTLP_TIMEOUT=0", "OTEL_TRACES_EXPORTER="},
	} {
		t.Run(variables[0], func(t *testing.T) {
			t.Parallel()
			var r receiver
			said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", writeTraced(t), append(variables, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.listen(t, "http/protobuf"))...)
			if len(r.spans()) == 0 || strings.Contains(said, `"variable"`) {
				t.Errorf("%d spans are sent: %s", len(r.spans()), said)
			}
		})
	}
}

// TestExportErrorsHideHeaders: what the receiver says comes into the log without what it was sent.
func TestExportErrorsHideHeaders(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no such key: "+r.Header.Get("Api-Key"), http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", writeTraced(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+strings.Replace(s.URL, "://", "://u:S3CRET-user@", 1),
		"OTEL_EXPORTER_OTLP_HEADERS=api-key=S3CRET-header")
	if strings.Contains(said, "S3CRET") || !strings.Contains(said, "traces could not be sent") {
		t.Errorf("the log says %s", said)
	}
}

// TestCollectorUnavailable holds nothing up but the log.
func TestCollectorUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", writeTraced(t), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_TIMEOUT=500")
	if !strings.Contains(said, "traces could not be sent") {
		t.Errorf("nobody is told that traces are lost: %s", said)
	}
	for line := range strings.Lines(said) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not of its form: %s", line)
		}
	}
}
