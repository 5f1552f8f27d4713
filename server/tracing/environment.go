package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dragoman-id/dragoman/server/tracing/limits"
)

// OpenTelemetry's specification requires that an invalid value is reported and ignored. Its Go SDK (1.47) may fail or panic
// instead, and it logs values, which may be secrets. This file therefore checks the variables before the SDK reads them, and
// removes invalid ones from the process's environment.

// environment has the variables' values that are not left to the SDK.
type environment struct {
	log *slog.Logger

	disabled   bool
	exporter   string // "otlp", "none", or "" if unset
	protocol   string // "grpc" or "http/protobuf"
	propagates bool   // whether W3C trace context is propagated
}

// ignored logs that a variable is ignored, without its value, which may be a secret.
func (e *environment) ignored(name, must string) {
	e.log.Warn("an OpenTelemetry variable has a value that cannot be used, and is ignored", "variable", name, "must_be", must)
}

// get returns a variable's value without surrounding white space. An empty value is like an unset variable (specification,
// "Parsing empty value").
func get(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// set sets a variable for the SDK, or unsets it if the value is empty.
func set(name, value string) {
	if value == "" {
		_ = os.Unsetenv(name) // does not fail on Unix and Windows
		return
	}
	_ = os.Setenv(name, value)
}

// readEnvironment checks the variables, and removes invalid ones from the process's environment.
func readEnvironment(log *slog.Logger) *environment {
	e := &environment{log: log, propagates: true}
	e.disabled = e.boolean("OTEL_SDK_DISABLED")
	if e.disabled {
		return e
	}
	e.readExporter()
	if e.exporter == "none" {
		return e
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} { // the latter has precedence
		if protocol := e.oneOf(name, "grpc", "http/protobuf"); protocol != "" {
			e.protocol = protocol
		}
	}
	if e.protocol == "" {
		e.protocol = "http/protobuf"
	}
	for _, part := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		e.checkEndpoint(part + "ENDPOINT")
		e.checkHeaders(part + "HEADERS")
		e.oneOf(part+"COMPRESSION", "gzip", "none")
		e.integer(part+"TIMEOUT", 0, maxInteger)
		e.boolean(part + "INSECURE")
		e.checkAuthority(part + "CERTIFICATE")
		e.checkClient(part+"CLIENT_CERTIFICATE", part+"CLIENT_KEY")
	}
	for _, name := range limits.Removed {
		e.ignored(name, wholeNumber(0, maxInteger))
	}
	e.checkBatches()
	e.checkSampler()
	e.checkResource()
	e.readPropagators()
	return e
}

// oneOf returns the value of a variable in lower case, or "" if it is not one of values.
func (e *environment) oneOf(name string, values ...string) string {
	value := strings.ToLower(get(name))
	if value != "" && !slices.Contains(values, value) {
		e.ignored(name, "one of "+strings.Join(values, ", "))
		value = ""
	}
	set(name, value)
	return value
}

func (e *environment) boolean(name string) bool { return e.oneOf(name, "true", "false") == "true" }

// maxInteger is the largest integer that a variable may have: more milliseconds overflow a time.Duration.
const maxInteger = math.MaxInt32

// integer returns the value of a variable, and whether it is an integer from least to most.
func (e *environment) integer(name string, least, most int) (n int, ok bool) {
	value := get(name)
	if value == "" {
		return 0, false
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		e.ignored(name, wholeNumber(least, most))
		set(name, "")
		return 0, false
	}
	set(name, value)
	return n, true
}

func wholeNumber(least, most int) string {
	return fmt.Sprintf("a whole number from %d to %d", least, most)
}

// list returns the elements of a variable's list that are in known, in lower case.
func (e *environment) list(name, must string, known ...string) (found []string) {
	value := strings.ToLower(get(name))
	if value == "" {
		return nil
	}
	for element := range strings.SplitSeq(value, ",") {
		if element = strings.TrimSpace(element); slices.Contains(known, element) {
			found = append(found, element)
		}
	}
	if len(found) <= strings.Count(value, ",") {
		e.ignored(name, must)
	}
	return found
}

// maxQueue is the largest queue of spans. The SDK allocates all of it at the start.
const maxQueue = 1 << 20

// checkBatches checks the variables of the batch processor. The specification's default size of the queue is 2048.
func (e *environment) checkBatches() {
	e.integer("OTEL_BSP_SCHEDULE_DELAY", 1, maxInteger)
	e.integer("OTEL_BSP_EXPORT_TIMEOUT", 0, maxInteger)
	size, ok := e.integer("OTEL_BSP_MAX_QUEUE_SIZE", 1, maxQueue)
	if !ok {
		size = 2048
	}
	e.integer("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, size)
}

func (e *environment) checkSampler() {
	const name, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	e.oneOf(name, "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
	value := get(argument)
	if value == "" || !strings.HasSuffix(get(name), "traceidratio") {
		return // the other samplers ignore it
	}
	if ratio, err := strconv.ParseFloat(value, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		e.ignored(argument, "a number from 0 to 1")
		set(argument, "")
	}
}

// readExporter reads the list of exporters. The program has only otlp.
func (e *environment) readExporter() {
	const name = "OTEL_TRACES_EXPORTER"
	if strings.EqualFold(get(name), "none") {
		e.exporter = "none"
		return
	}
	if len(e.list(name, "otlp or none, as other exporters are not built in", "otlp")) > 0 {
		e.exporter = "otlp"
	}
	set(name, e.exporter)
}

// readPropagators reads the list of propagators. Baggage is accepted and not propagated.
func (e *environment) readPropagators() {
	found := e.list("OTEL_PROPAGATORS", "tracecontext, baggage or none, as other propagators are not built in", "tracecontext", "baggage", "none")
	if len(found) > 0 {
		e.propagates = slices.Contains(found, "tracecontext")
	}
}

// bareHost matches an address that gRPC accepts instead of a URL.
var bareHost = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`)

// checkEndpoint checks a URL. It drops a user and a password, which the SDK would not send.
func (e *environment) checkEndpoint(name string) {
	value := get(name)
	if value == "" || e.protocol == "grpc" && (bareHost.MatchString(value) || strings.HasPrefix(value, "unix:") && !strings.ContainsAny(value, "@?%")) {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !isPort(u.Port()) {
		e.ignored(name, "a URL such as https://collector.example.com:4318")
		set(name, "")
		return
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		e.ignored(name, "without a user, a password and parameters, which are left out: use OTEL_EXPORTER_OTLP_HEADERS")
		u.User, u.RawQuery, u.Fragment = nil, "", ""
	}
	set(name, u.String())
}

func isPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// headerName matches a token (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// parsePair reads name=value, the value percent-encoded, and reports whether both are text.
func parsePair(text string) (name, value string, ok bool) {
	name, encoded, found := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	value, err := url.PathUnescape(strings.TrimSpace(encoded))
	return name, value, found && err == nil && name != "" && isText(name) && isText(value)
}

// checkHeaders checks pairs of names and percent-encoded values, and drops invalid pairs.
func (e *environment) checkHeaders(name string) {
	value := get(name)
	if value == "" {
		return
	}
	var good []string
	for pair := range strings.SplitSeq(value, ",") {
		header, text, ok := parsePair(pair)
		if ok && headerName.MatchString(header) && !(e.protocol == "grpc" && !isASCII(text)) {
			good = append(good, pair)
		}
	}
	if len(good) <= strings.Count(value, ",") {
		e.ignored(name, "pairs name=value separated by commas, the values percent-encoded; the other pairs are used")
	}
	set(name, strings.Join(good, ","))
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// checkResource checks attributes of the same form. The specification requires that all are ignored if one is invalid.
func (e *environment) checkResource() {
	if value := os.Getenv("OTEL_SERVICE_NAME"); !isText(value) {
		e.ignored("OTEL_SERVICE_NAME", "text in UTF-8")
		set("OTEL_SERVICE_NAME", "")
	}
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	value := get(name)
	if value == "" {
		return
	}
	for pair := range strings.SplitSeq(value, ",") {
		if _, _, ok := parsePair(pair); !ok {
			e.ignored(name, "pairs key=value separated by commas, the values percent-encoded")
			set(name, "")
			return
		}
	}
}

// checkAuthority checks a PEM file of certificates.
func (e *environment) checkAuthority(name string) {
	path := get(name)
	if path == "" {
		return
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
		e.ignored(name, "a PEM file with certificates that can be read")
		set(name, "")
	}
}

// checkClient checks a certificate and its key. The SDK uses them only together.
func (e *environment) checkClient(certificate, key string) {
	if get(certificate) == "" && get(key) == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(get(certificate), get(key)); err != nil {
		e.ignored(certificate, "a PEM file with a certificate that can be read, whose key is in the file of "+key)
		set(certificate, "")
		set(key, "")
	}
}

// secretsOf returns what logged errors must not contain: the values of headers, encoded and decoded.
func secretsOf() (secrets []string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for pair := range strings.SplitSeq(os.Getenv(name), ",") {
			_, value, _ := strings.Cut(pair, "=")
			value = strings.TrimSpace(value)
			decoded, _ := url.PathUnescape(value)
			// Shorter texts, such as the scheme of an Authorization header, are not secret.
			for _, text := range append(strings.Fields(decoded), value, decoded) {
				if len(text) > 6 {
					secrets = append(secrets, text)
				}
			}
		}
	}
	return secrets
}
