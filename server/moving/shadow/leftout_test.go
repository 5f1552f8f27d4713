package shadow_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/shadow"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// send sends a request with further headers through a shadow.
func (f *front) send(t *testing.T, method, path, body string, header http.Header) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Authorization", "Bearer "+f.m.token)
	r.Header.Set("Content-Type", "application/json")
	a, err := f.m.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode
}

// recording is a report.
type recording struct{ shadow.Report }

func (r recording) text(t *testing.T) string {
	t.Helper()
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestShadowOfConditions: what the client has from the source decides about the source's answer, and not about the target's.
func TestShadowOfConditions(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	f := m.shadow(t, "worth", nil)
	method, body := f.put(m.common)
	conditions := []http.Header{
		{"If-Match": {`"vendor"`}}, {"If-None-Match": {`"vendor"`}}, {"If-None-Match": {"*"}}, {"If-Unmodified-Since": {"Sat, 01 Jan 2000 00:00:00 GMT"}},
		{"If-Modified-Since": {"Sat, 01 Jan 2000 00:00:00 GMT"}}, {"Range": {"bytes=0-1"}, "If-Range": {`"vendor"`}},
	}
	for i, header := range conditions {
		f.send(t, http.MethodGet, f.user(m.common), "", header)
		f.send(t, method, f.user(m.common+1+i), body, header)
		for _, status := range []int{304, 412, 206, 416} {
			m.vendors["worth"].SetFront(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true })
			f.send(t, http.MethodGet, f.user(m.common), "", header)
			m.vendors["worth"].SetFront(nil)
		}
	}
	r := recording{f.close()}
	api := describe(t, "worth")
	show, update := of(r.Report, api.Show), of(r.Report, api.Updates[0])
	if n := int64(len(conditions)); show.Equal != n || show.Conditional != 4*n || r.Differ() != 0 || update.Equal != n {
		t.Errorf("%+v", r)
	}
	if text := r.text(t); !strings.Contains(text, fmt.Sprintf("%s: %d not compared: conditional, ", api.Show, 4*len(conditions))) {
		t.Error(text)
	}
	f = m.shadow(t, "worth", nil)
	m.vendors["worth"].SetFront(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusPreconditionFailed)
		return true
	})
	f.send(t, http.MethodGet, f.user(m.common), "", nil)
	if o := of(f.close(), api.Show); o.Differ != 1 {
		t.Errorf("a source that refuses without a condition: %+v", o)
	}
}

// encoded answers for a source in a content coding.
func encoded(coding string, encode func(io.Writer) io.WriteCloser) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var plain bytes.Buffer
			next.ServeHTTP(&buffered{w, &plain}, r)
			w.Header().Set("Content-Encoding", coding)
			w.Header().Del("Content-Length")
			e := encode(w)
			_, _ = plain.WriteTo(e)
			_ = e.Close()
		})
	}
}

type buffered struct {
	http.ResponseWriter
	to io.Writer
}

func (b *buffered) Write(p []byte) (int, error) { return b.to.Write(p) }
func (b *buffered) WriteHeader(int)             {}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// TestShadowOfEncodings: answers in gzip and deflate are decoded, and others are counted by their codings.
func TestShadowOfEncodings(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	v := m.vendors["worth"]
	api := describe(t, "worth")
	asGzip := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	asFlate := func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 5); return f }
	plain := func(w io.Writer) io.WriteCloser { return nopCloser{w} }
	for _, tc := range []struct {
		coding string
		encode func(io.Writer) io.WriteCloser
		left   string // the coding that the report names; empty: the answer is compared
	}{
		{"gzip", asGzip, ""}, {"GZIP", asGzip, ""}, {"x-gzip", asGzip, ""}, {"identity", plain, ""},
		{"deflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }, ""}, {"deflate", asFlate, ""},
		{"gzip, identity", asGzip, ""},
		{"br", plain, "br"}, {"zstd", plain, "zstd"}, {"secret-name", plain, "that is not known"}, {"gzip, br", asGzip, "br"},
		{"gzip", plain, "gzip that is broken"}, {"deflate", plain, "deflate that is broken"},
	} {
		v.SetFront(func(w http.ResponseWriter, r *http.Request) bool {
			v.SetFront(nil)
			encoded(tc.coding, tc.encode)(v).ServeHTTP(w, r)
			return true
		})
		f := m.shadow(t, "worth", nil)
		f.send(t, http.MethodGet, f.user(m.common), "", http.Header{"Accept-Encoding": {"gzip, br"}})
		r := recording{f.close()}
		if o := of(r.Report, api.Show); tc.left == "" && o.Equal != 1 || tc.left != "" && (o.Encodings[tc.left] != 1 || o.Differ+o.Equal != 0) {
			t.Errorf("%s: %+v", tc.coding, o)
		}
		if text := r.text(t); tc.left != "" && !strings.Contains(text, api.Show+": 1 not compared: encoding "+tc.left+"\n") {
			t.Errorf("%s: %s", tc.coding, text)
		}
	}
}

// TestShadowOfLongBodies: what is longer than may be kept on either side is counted, and not compared in part.
func TestShadowOfLongBodies(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	v := m.vendors["testinium"]
	f := m.shadow(t, "testinium", nil)
	_, _, list := f.do(t, http.MethodGet, v.URL, f.list(), "")
	_, _, theirs := f.do(t, http.MethodGet, m.target(t, "testinium").String(), f.list(), "")
	f.close()
	if len(theirs) <= len(list) {
		t.Fatalf("the target's list has %d bytes and the source's %d", len(theirs), len(list))
	}
	for _, tc := range []struct {
		name                   string
		maxBody, maxMemory     int
		equal, tooLarge, noMem int64
		text                   string
	}{
		{"enough", len(theirs), 1 << 20, 1, 0, 0, ""},
		{"the source's is too long", len(list) - 1, 1 << 20, 0, 1, 0, "a body was longer than --max-body"},
		{"the target's is too long", len(theirs) - 1, 1 << 20, 0, 1, 0, "a body was longer than --max-body"},
		{"no memory for the source's", 1 << 20, len(list) - 1, 0, 0, 1, "bodies needed more than --max-memory"},
		{"no memory for both", 1 << 20, len(list) + len(theirs) - 1, 0, 0, 1, "bodies needed more than --max-memory"},
	} {
		f := m.shadow(t, "testinium", func(c *shadow.Config) { c.MaxBody, c.MaxMemory = int64(tc.maxBody), int64(tc.maxMemory) })
		for range 2 { // what was kept is forgotten
			f.do(t, http.MethodGet, f.url, f.list(), "")
			f.drain(t)
		}
		r := recording{f.close()}
		o := of(r.Report, describe(t, "testinium").List)
		if text := r.text(t); o.Equal != 2*tc.equal || o.TooLarge != 2*tc.tooLarge || o.NoMemory != 2*tc.noMem || o.Differ != 0 || !strings.Contains(text, tc.text) {
			t.Errorf("%s: %+v\n%s", tc.name, o, text)
		}
	}
}

// TestShadowOfCreations: a user who is created is not compared, and all else is.
func TestShadowOfCreations(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	v := m.vendors["worth"]
	api := describe(t, "worth")
	f := m.shadow(t, "worth", nil)
	role, _ := m.server.Store.Catalogue().ByName("ROLE_USER")
	subrole := fmt.Sprintf(`"subrole":{"id":%q,"code":%q,"label":%q}`, role.SubroleUUID, *role.SubroleCode, *role.SubroleLabel)
	for _, name := range []string{"one", "two"} {
		if status := f.send(t, http.MethodPost, f.list(), `{"first_name":"New","last_name":"Person","email":"new.`+name+`@example.com",`+subrole+`}`, nil); status != 200 {
			t.Fatal(status)
		}
	}
	// The same again depends on what the target does not have.
	v.SetFront(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"status":"fail","message":"Another customer user exists with the same email.","errorCode":"INVALID","data":{"errorName":"CustomersApiError"}}`)
		return true
	})
	f.send(t, http.MethodPost, f.list(), `{"first_name":"New","last_name":"Person","email":"new.one@example.com",`+subrole+`}`, nil)
	v.SetFront(nil)
	method, body := f.put(m.common)
	path := f.user(m.common)
	f.send(t, method, fmt.Sprintf("%s%%%02x", path[:len(path)-1], path[len(path)-1]), body, nil)
	f.send(t, http.MethodGet, f.user(m.common), "", nil)
	f.send(t, http.MethodGet, f.user(m.common+1), "", nil)
	f.send(t, http.MethodGet, f.list(), "", nil)
	r := f.close()
	create, show, list := of(r, api.Create), of(r, api.Show), of(r, api.List)
	if create.Equal != 2 || create.WrittenSince != 1 || show.Equal != 1 || show.WrittenSince != 1 || list.WrittenSince != 1 || r.Differ() != 0 {
		t.Errorf("%+v", r)
	}
}
