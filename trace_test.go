package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
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

// TestSpansAreSent runs the program with the standard variables, and receives what it sends when it stops.
func TestSpansAreSent(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		for _, protocol := range []string{"http/protobuf", "grpc"} {
			t.Run(protocol, func(t *testing.T) {
				var r receiver
				said := runTraced(t, database, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.listen(t, protocol), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
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

// runTraced runs the program, has it write to a user as part of a trace, and gives its log once it has stopped.
func runTraced(t *testing.T, database string, variables ...string) string {
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
	return serve(t, t.TempDir(), variables, []string{"serve", "--listen=127.0.0.1:0", "--log-format=json", "--trusted-proxy=127.0.0.1"}, func(address string) {
		path := "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + servertest.AdaUUID.String()
		body := `{"first_name":"CanaryName` + uuid.NewString() + `"}`
		for _, path := range []string{path, "/livez"} {
			request, err := http.NewRequest(http.MethodPatch, "http://"+address+path+"?canary=CanaryQuery", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+token)
			request.Header.Set("X-Request-Id", "traced-1")
			request.Header.Set("Traceparent", "00-"+tracedTrace+"-"+tracedParent+"-01")
			request.Header.Set("Content-Type", "application/json")
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			if path != "/livez" && answer.StatusCode != http.StatusOK {
				t.Errorf("the write is answered %s", answer.Status)
			}
		}
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
	var all strings.Builder
	for _, resource := range r.received {
		text, err := protojson.Marshal(resource)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, want := range []string{`"dragoman"`, `"deployment.environment.name"`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the resource has no %s", want)
		}
	}
	for _, secret := range []string{"Canary", tracedEmail, secretOfTokens, keyOfNow, servertest.AdaUUID.String(), "eyJ"} {
		if strings.Contains(strings.ToLower(all.String()), strings.ToLower(secret)) {
			t.Errorf("the spans tell %s: %s", secret, &all)
		}
	}
}

func hex(id []byte) string {
	text := make([]byte, 0, 2*len(id))
	for _, b := range id {
		text = append(text, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
	}
	return string(text)
}

// TestTracingIsOffUnlessAskedFor holds which variables ask for it, and that what cannot be is said at the start.
func TestTracingIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for _, variables := range [][]string{
		{}, {"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT="}, {"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT="},
	} {
		var r receiver
		if len(variables) > 0 {
			variables[1] += r.listen(t, "http/protobuf")
		}
		said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", variables...)
		if len(r.spans()) > 0 || strings.Contains(said, "trace_id") {
			t.Errorf("%q: %d spans were sent: %s", variables, len(r.spans()), said)
		}
	}
	for variable, want := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin":           `OTEL_TRACES_EXPORTER is "zipkin", and only otlp and none are known`,
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json": `OTEL_EXPORTER_OTLP_PROTOCOL is "http/json", and only http/protobuf and grpc are known`,
	} {
		dir := t.TempDir()
		status, _, said := configured(t, dir, []string{
			"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWT_SECRET=" + secretOfTokens, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", variable,
		}, "", "serve", "--listen=127.0.0.1:0")
		if status == 0 || !strings.Contains(said, want) {
			t.Errorf("%s: status %d, %s", variable, status, said)
		}
	}
}

// TestAReceiverThatIsNotThere holds nothing up but the log.
func TestAReceiverThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	said := runTraced(t, "sqlite:"+t.TempDir()+"/dragoman.db", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_TIMEOUT=500")
	if !strings.Contains(said, "traces could not be sent") {
		t.Errorf("nobody is told that traces are lost: %s", said)
	}
	for line := range strings.Lines(said) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not of its form: %s", line)
		}
	}
}
