package webhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune/destination"
	"github.com/attune-io/attune/destination/webhook"
	"github.com/attune-io/attune/feature"
)

// TestSign: the vector that the reference libraries of Standard Webhooks test
// themselves with.
func TestSign(t *testing.T) {
	key, err := destination.Key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := webhook.Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// sender returns one to a receiver that answers with handle.
func sender(t *testing.T, handle http.HandlerFunc, change func(*destination.Definition)) *webhook.Sender {
	t.Helper()
	srv := httptest.NewServer(handle)
	t.Cleanup(srv.Close)
	def := destination.Definition{Name: "crm", Kind: destination.KindWebhook, URL: srv.URL + "/hook", Secret: "0123456789abcdef", AllowPrivate: true}
	if change != nil {
		change(&def)
	}
	s, err := webhook.New(def, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func message() *destination.Message {
	return &destination.Message{ID: "0011223344556677", Type: destination.SegmentEntered, Person: "u:u1", Body: []byte(`{"type":"segment.entered"}`)}
}

// TestRequest: what the receiver gets verifies, with either secret.
func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	s := sender(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}, func(d *destination.Definition) {
		d.PreviousSecret = "the previous secret"
		d.Headers = map[string]string{"Authorization": "Bearer x"}
	})
	if err := s.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	h := got.Header
	if h.Get("Attune-Delivery") != "0011223344556677" || h.Get("webhook-id") != "0011223344556677" {
		t.Errorf("ids: %q and %q", h.Get("Attune-Delivery"), h.Get("webhook-id"))
	}
	if got.Method != http.MethodPost || got.URL.Path != "/hook" || h.Get("Content-Type") != "application/json" || h.Get("Authorization") != "Bearer x" {
		t.Errorf("got %s %s %v", got.Method, got.URL.Path, h)
	}
	var want []string
	for _, key := range []string{"0123456789abcdef", "the previous secret"} {
		want = append(want, webhook.Sign([]byte(key), h.Get("webhook-id"), h.Get("webhook-timestamp"), body))
	}
	if got := h.Get("webhook-signature"); got != strings.Join(want, " ") {
		t.Errorf("signature %q, want %q", got, want)
	}
}

// TestVerdicts: which answers are worth another attempt.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		status   int
		after    string
		taken    bool
		final    bool
		wait     time.Duration
		everyone bool
	}{
		{status: 200, taken: true},
		{status: 204, taken: true},
		{status: 301},
		{status: 400, final: true},
		{status: 404, final: true},
		{status: 408},
		{status: 410, final: true},
		{status: 425},
		{status: 429, after: "7", wait: 7 * time.Second, everyone: true},
		{status: 500},
		{status: 503, after: "120", wait: 2 * time.Minute},
		{status: 503, after: "soon"},
		{status: 503, after: "-3"},
		{status: 503, after: "999999999", wait: 24 * time.Hour},
	} {
		s := sender(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			w.WriteHeader(c.status)
		}, nil)
		err := s.Send(t.Context(), message())
		if c.taken != (err == nil) {
			t.Errorf("%d: got %v", c.status, err)
		}
		var f *destination.Failure
		if !c.taken && (!errors.As(err, &f) || f.Final != c.final || f.After != c.wait || f.Everyone != c.everyone || f.Status != c.status) {
			t.Errorf("%d %s: got %+v", c.status, c.after, f)
		}
	}
}

// TestRedirectIsNotFollowed: it could lead into the own network.
func TestRedirectIsNotFollowed(t *testing.T) {
	followed := false
	s := sender(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hook" {
			followed = true
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, nil)
	if err := s.Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "redirects are not followed") {
		t.Errorf("got %v", err)
	}
	if followed {
		t.Error("the redirect was followed")
	}
}

// TestPrivateIsRefused: no connection to this machine is made unless it is
// allowed, whatever name it goes by.
func TestPrivateIsRefused(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0"} {
		reached := false
		s := sender(t, func(http.ResponseWriter, *http.Request) { reached = true }, func(d *destination.Definition) {
			d.AllowPrivate = false
			d.URL = strings.Replace(d.URL, "127.0.0.1", host, 1)
		})
		if err := s.Send(t.Context(), message()); err == nil || reached {
			t.Errorf("%s: got %v, reached %t", host, err, reached)
		}
	}
}

// TestTimeout: a receiver that hangs holds an attempt up for its time only,
// and neither the address nor the secret are in what is said of it.
func TestTimeout(t *testing.T) {
	release := make(chan struct{}) // closed at the end
	s := sender(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}, func(d *destination.Definition) {
		d.URL += "?token=hidden"
		d.Timeout = feature.Duration(100 * time.Millisecond)
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := s.Send(ctx, message())
	var f *destination.Failure
	if !errors.As(err, &f) || f.Final || strings.Contains(f.Reason, "hidden") {
		t.Errorf("got %v", err)
	}
}
