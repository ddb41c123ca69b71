package identity_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

func TestRoute(t *testing.T) {
	for _, test := range []struct {
		name string
		e    attune.Event
		want string
	}{
		{"a browser", attune.Event{Flags: attune.Device, AnonymousID: "d", UserID: "u"}, "a:d"},
		{"a browser of nobody", attune.Event{Flags: attune.Device, AnonymousID: "d"}, "a:d"},
		{"a phone without its id", attune.Event{Flags: attune.Device, UserID: "u"}, "u:u"},
		{"a server that invents an id", attune.Event{AnonymousID: "random", UserID: "u"}, "u:u"},
		{"a server about a device", attune.Event{AnonymousID: "d"}, "a:d"},
		{"a server about a user", attune.Event{UserID: "u"}, "u:u"},
	} {
		if got, err := identity.Route(&test.e); got != test.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	if _, err := identity.Route(&attune.Event{MessageID: "m"}); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("no ids: got %v, want %v", err, attune.ErrInvalid)
	}
}

func TestCheckID(t *testing.T) {
	bad := []string{
		"", " ", "\t\n", "null", "NULL", " null ", "undefined", "Undefined", "0", "-1", "guest", "Guest", "anonymous", "none",
		"nil", "<nil>", "NaN", "nan", "[object Object]", "true", "False", "n/a", "a\x00b", "a\nb", "\xff\xfe",
		"00000000-0000-0000-0000-000000000000", strings.Repeat("x", identity.MaxID+1),
	}
	for _, id := range bad {
		if err := identity.CheckID(id); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%q: got %v, want %v", id, err, attune.ErrInvalid)
		}
	}
	good := []string{
		"u1", "1", "00", "nullable", "guest-7", "true-north", "ann@example.com", "Ünïcode 日本", "a:b|c",
		"507f191e810c19729de860ea", strings.Repeat("x", identity.MaxID),
	}
	for _, id := range good {
		if err := identity.CheckID(id); err != nil {
			t.Errorf("%q: got %v, want nil", id, err)
		}
	}
}

func TestIsUUID(t *testing.T) {
	for id, want := range map[string]bool{
		"9f1c3c1e-6f5e-4b1a-9a53-0c5ed5c2f0a1":   true,
		"9F1C3C1E-6F5E-4B1A-9A53-0C5ED5C2F0A1":   true,
		"00000000-0000-0000-0000-000000000000":   false,
		"9f1c3c1e6f5e4b1a9a530c5ed5c2f0a1":       false,
		"9f1c3c1e-6f5e-4b1a-9a53-0c5ed5c2f0ag":   false,
		"9f1c3c1e-6f5e-4b1a-9a53_0c5ed5c2f0a1":   false,
		"{9f1c3c1e-6f5e-4b1a-9a53-0c5ed5c2f0a1}": false,
		"":                                       false,
	} {
		if got := identity.IsUUID(id); got != want {
			t.Errorf("%q: got %v, want %v", id, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{identity.DeviceKey("1"), "a:1"},
		{identity.UserKey("1"), "u:1"},
		{identity.OrderKey("1"), "o:1"},
		{identity.ItemKey("1"), "i:1"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	if id, ok := identity.Device("a:u:1"); id != "u:1" || !ok {
		t.Errorf("device of a:u:1: got %q, %v", id, ok)
	}
	if _, ok := identity.User("a:u:1"); ok {
		t.Error("a:u:1 is a user")
	}
}

// TestOwnership walks the shared device of the design: u1, nobody, u2, u1.
func TestOwnership(t *testing.T) {
	type step struct {
		user string
		want identity.Ownership
		how  identity.Step
	}
	var at identity.Ownership
	for i, s := range []step{
		{"", identity.Ownership{}, identity.Stay},
		{"u1", identity.Ownership{Owner: "u1"}, identity.Take}, // the first one takes it
		{"u1", identity.Ownership{Owner: "u1"}, identity.Stay},
		{"", identity.Ownership{Prev: "u1"}, identity.Close}, // a log-out
		{"", identity.Ownership{Prev: "u1"}, identity.Stay},
		{"u2", identity.Ownership{Owner: "u2"}, identity.Close}, // another one does not get it
		{"u1", identity.Ownership{Owner: "u1"}, identity.Close},
		{"", identity.Ownership{Prev: "u1"}, identity.Close},
		{"u1", identity.Ownership{Owner: "u1"}, identity.Take}, // the same one does
	} {
		var how identity.Step
		if at, how = at.Next(s.user); at != s.want || how != s.how {
			t.Fatalf("step %d, %q: got %+v, %d, want %+v, %d", i, s.user, at, how, s.want, s.how)
		}
	}
}

// The published vectors: what the helpers for other languages have to give.
// docs/GUIDE.md prints them.
func TestUserTokenVectors(t *testing.T) {
	for _, test := range []struct {
		secret, user string
		expires      attune.Millis
		want         string
	}{
		{"secret", "u1", 1_700_000_000_000, "v1.dTE.1700000000.S6PBvMV3D3DBK9boh6F-TYwY-o8x1IDF50pMkHnvG3c"},
		{"secret", "u1", 1_700_000_000_999, "v1.dTE.1700000000.S6PBvMV3D3DBK9boh6F-TYwY-o8x1IDF50pMkHnvG3c"},
		{"s3cr3t with spaces", "ann@example.com", 4_102_444_800_000, "v1.YW5uQGV4YW1wbGUuY29t.4102444800.uxP8P62jQ26XizynJeRRVdYGkfTiS365rIH6OYaxe8g"},
		{"k", "Zoë/日本?", 4_102_444_800_000, "v1.Wm_Dqy_ml6XmnKw_.4102444800.98s5xUUZYHC1_M1QRg0x0KxBl9YLUULUs5hmv62jqHY"},
	} {
		if got := identity.UserToken([]byte(test.secret), test.user, test.expires); got != test.want {
			t.Errorf("%s of %s: got %s, want %s", test.user, test.secret, got, test.want)
		}
		got, err := identity.ParseUserToken([][]byte{[]byte(test.secret)}, test.want, test.expires-1000)
		if got != test.user || err != nil {
			t.Errorf("parse %s: got %q, %v", test.want, got, err)
		}
	}
}

func TestParseUserToken(t *testing.T) {
	const expires = attune.Millis(1_700_000_000_000)
	secrets := [][]byte{[]byte("old"), []byte("new")}
	for _, secret := range secrets {
		token := identity.UserToken(secret, "u1", expires)
		if got, err := identity.ParseUserToken(secrets, token, expires-1); got != "u1" || err != nil {
			t.Errorf("secret %s: got %q, %v, want u1", secret, got, err)
		}
	}
	good := identity.UserToken(secrets[0], "u1", expires)
	visitor := identity.Signer{Secret: secrets[0]}.Visitor("u1", 99)
	for name, test := range map[string]struct {
		secrets [][]byte
		token   string
		now     attune.Millis
		want    string // part of the error
	}{
		"expired":               {secrets, good, expires, "expired at 2023-11-14T22:13:20.000Z"},
		"another secret":        {[][]byte{[]byte("x")}, good, 0, "signature"},
		"no secret":             {nil, good, 0, "signature"},
		"an empty secret":       {[][]byte{{}}, identity.UserToken(nil, "u1", expires), 0, "signature"},
		"another user":          {secrets, strings.Replace(good, "dTE", "dTI", 1), 0, "signature"},
		"a later expiry":        {secrets, strings.Replace(good, "17000", "18000", 1), 0, "signature"},
		"a visitor token":       {secrets, visitor, 0, "want v1."},
		"a visitor token, v1":   {secrets, "v1" + visitor[2:], 0, "signature"},
		"nothing":               {secrets, "", 0, "want v1."},
		"words":                 {secrets, "hello", 0, "want v1."},
		"five fields":           {secrets, good + ".x", 0, "want v1."},
		"padding":               {secrets, good + "=", 0, "without padding"},
		"nobody":                {secrets, identity.UserToken(secrets[0], "", expires), 0, "id of 0 bytes"},
		"before the epoch":      {secrets, identity.UserToken(secrets[0], "u", -5000), 0, "time"},
		"much too long":         {secrets, "v1." + strings.Repeat("A", 5000) + ".1.x", 0, "want v1."},
		"an expiry to overflow": {secrets, identity.UserToken(secrets[0], "u", 1<<62), 0, "time"},
	} {
		got, err := identity.ParseUserToken(test.secrets, test.token, test.now)
		if got != "" || !errors.Is(err, attune.ErrUnauthorized) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestVisitor(t *testing.T) {
	s := identity.Signer{Secret: []byte("ours")}
	const want = "a1.ZDE.1700000000123."
	token := s.Visitor("d1", 1_700_000_000_123)
	if !strings.HasPrefix(token, want) {
		t.Errorf("got %s, want %s…", token, want)
	}
	id, at, err := s.ParseVisitor(token)
	if id != "d1" || at != 1_700_000_000_123 || err != nil {
		t.Errorf("got %q, %d, %v", id, at, err)
	}
	user := identity.UserToken(s.Secret, "d1", 1)
	for name, test := range map[string]struct {
		s     identity.Signer
		token string
	}{
		"another secret": {identity.Signer{Secret: []byte("theirs")}, token},
		"no secret":      {identity.Signer{}, identity.Signer{}.Visitor("d1", 1)},
		"a user token":   {s, user},
		"renamed":        {s, "a1" + user[2:]},
		"cut":            {s, token[:len(token)-1]},
	} {
		if id, _, err := test.s.ParseVisitor(test.token); id != "" || !errors.Is(err, attune.ErrUnauthorized) {
			t.Errorf("%s: got %q, %v, want %v", name, id, err, attune.ErrUnauthorized)
		}
	}
}

func TestTokensRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "secret")
		id := rapid.StringN(1, -1, identity.MaxID).Draw(t, "id")
		at := attune.Millis(rapid.Int64Range(0, 1<<50).Draw(t, "at"))
		s := identity.Signer{Secret: secret}
		if got, issued, err := s.ParseVisitor(s.Visitor(id, at)); got != id || issued != at || err != nil {
			t.Fatalf("visitor: got %q, %d, %v", got, issued, err)
		}
		token := identity.UserToken(secret, id, at)
		if got, err := identity.ParseUserToken([][]byte{secret}, token, at-1000); got != id || err != nil {
			t.Fatalf("user: got %q, %v", got, err)
		}
		i := rapid.IntRange(0, len(token)-1).Draw(t, "i")
		changed := []byte(token)
		if changed[i] ^= 1 << rapid.IntRange(0, 6).Draw(t, "bit"); string(changed) == token {
			return
		}
		if got, err := identity.ParseUserToken([][]byte{secret}, string(changed), 0); err == nil {
			t.Fatalf("a changed token passes for %q", got)
		}
	})
}

func FuzzParseTokens(f *testing.F) {
	secret := []byte("s")
	f.Add(identity.UserToken(secret, "u1", 1_700_000_000_000))
	f.Add(identity.Signer{Secret: secret}.Visitor("d1", 5))
	f.Add("v1...")
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := identity.ParseUserToken([][]byte{secret}, token, 0); err == nil && id == "" {
			t.Error("a token of nobody")
		}
		if id, _, err := (identity.Signer{Secret: secret}).ParseVisitor(token); err == nil && id == "" {
			t.Error("a token of nothing")
		}
	})
}
