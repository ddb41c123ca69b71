package identity_test

import (
	"errors"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

func TestNormalizeExternal(t *testing.T) {
	for _, test := range []struct{ kind, value, want string }{
		{"email", " Ann@Example.COM ", "ann@example.com"},
		{"email", "ann+shop@example.com", "ann+shop@example.com"},
		{"phone", "+49 (151) 123-45.67", "+491511234567"},
		{"phone", "0151 1234567", "01511234567"},
		{"crm", " A-7 ", "A-7"},
	} {
		if got, err := identity.NormalizeExternal(test.kind, test.value); got != test.want || err != nil {
			t.Errorf("%s %q: got %q, %v, want %q", test.kind, test.value, got, err, test.want)
		}
	}
	for _, test := range []struct{ kind, value string }{
		{"email", ""},
		{"email", "null"},
		{"email", "ann"},
		{"email", "@example.com"},
		{"email", "Ann <ann@example.com>"},
		{"email", "a@b, c@d"},
		{"email", "undefined@example.com"},
		{"phone", "12345"},
		{"phone", "000000000"},
		{"phone", "call me"},
		{"phone", "1234567890123456"},
		{"crm", "undefined"},
		{"crm", "a\x00b"},
		{"crm", "0"},
	} {
		if got, err := identity.NormalizeExternal(test.kind, test.value); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%s %q: got %q, %v, want it refused", test.kind, test.value, got, err)
		}
	}
}

func TestExternalKey(t *testing.T) {
	for key, want := range map[string]string{"x:email:a@b.c": "email a@b.c", "x:crm:a:b": "crm a:b", "x:crm": "", "u:x:email:a": ""} {
		kind, value, ok := identity.External(key)
		if got := kind + " " + value; ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q, %v, want %q", key, got, ok, want)
		}
	}
	for kind, ok := range map[string]bool{"email": true, "android.idfa": true, "": false, "E-Mail": false, "a:b": false, "a b": false} {
		if err := identity.CheckType(kind); (err == nil) != ok {
			t.Errorf("type %q: %v", kind, err)
		}
	}
}

func FuzzNormalizeExternal(f *testing.F) {
	f.Add("email", "A@b.c")
	f.Add("phone", "+1 234 567")
	f.Fuzz(func(t *testing.T, kind, value string) {
		once, err := identity.NormalizeExternal(kind, value)
		if err != nil {
			return
		}
		if twice, err := identity.NormalizeExternal(kind, once); twice != once || err != nil {
			t.Errorf("%s %q becomes %q, and that %q (%v)", kind, value, once, twice, err)
		}
	})
}
