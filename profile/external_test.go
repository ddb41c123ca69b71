package profile

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// externalRecord says that value is user's e-mail address.
func externalRecord(offset uint64, key, value, user string, at attune.Millis, verified bool) *attune.Record {
	b, _ := json.Marshal(attune.External{Type: "email", Value: value, UserID: user, Verified: verified}) // plain strings
	return &attune.Record{Offset: offset, Kind: attune.KindExternal, Key: key, Time: at, ReceivedAt: at, Payload: b}
}

func holders(p *Part) string {
	var users []string
	for _, h := range p.Holders(nil) {
		users = append(users, h.User)
	}
	return fmt.Sprint(users)
}

// TestHolders: who is verified has an id before who claims it; an id that many
// claim within a day is nobody's but of those who are verified.
func TestHolders(t *testing.T) {
	f := &Folder{}
	key := identity.ExternalKey("email", "ann@example.com")
	p := f.NewPart(key)
	fold := func(user string, at attune.Millis, verified bool) {
		t.Helper()
		if got := f.Fold(p, externalRecord(p.Applied+1, key, "ann@example.com", user, at, verified), nil); got != Noted {
			t.Fatalf("%s: %d, want noted", user, got)
		}
	}
	for i := range 4 {
		fold(fmt.Sprintf("u%d", i), attune.Millis(i)*day, false)
	}
	if got, want := holders(p), "[u3 u2 u1 u0]"; got != want {
		t.Errorf("four in four days: %s, want %s", got, want)
	}
	fold("u1", 5*day, true)
	if got, want := holders(p), "[u1 u3 u2 u0]"; got != want {
		t.Errorf("one verified: %s, want %s", got, want)
	}
	for i := range 5 {
		fold(fmt.Sprintf("v%d", i), 6*day+attune.Millis(i), false)
	}
	if got, want := holders(p), "[u1]"; got != want {
		t.Errorf("five at once: %s, want %s", got, want)
	}
	b := f.AppendPart(p, nil)
	again, err := f.DecodePart(b)
	if err != nil || holders(again) != "[u1]" || again.Crowded != p.Crowded {
		t.Errorf("stored and read: %+v, %v", again, err)
	}
}

// TestExternalBounds: of a type the oldest claimed one makes room, never a
// verified one; what is another's is not taken.
func TestExternalBounds(t *testing.T) {
	f := &Folder{}
	p := f.NewPart("u:u1")
	for i := range maxExternalOfType + 3 {
		r := externalRecord(p.Applied+1, "u:u1", fmt.Sprintf("m%02d@example.com", i), "u1", attune.Millis(i)*day, i == 0)
		if got := f.Fold(p, r, nil); got != Noted {
			t.Fatalf("record %d: %d", i, got)
		}
	}
	if len(p.Externals) != maxExternalOfType || p.Externals[0].Value != "m00@example.com" || p.Externals[1].Value != "m04@example.com" {
		t.Errorf("%d are kept, the first are %+v", len(p.Externals), p.Externals[:2])
	}
	for _, r := range []*attune.Record{
		externalRecord(100, "u:u1", "x@example.com", "u2", day, true),
		{Offset: 101, Kind: attune.KindExternal, Key: "u:u1", Payload: []byte(`{"type":"email"}`)},
		{Offset: 102, Kind: attune.KindExternal, Key: "u:u1", Payload: []byte(`{`)},
	} {
		if got := f.Fold(p, r, nil); got != Ignored {
			t.Errorf("%s: %d, want ignored", r.Payload, got)
		}
	}
}

// TestFormat1: what older builds stored is read.
func TestFormat1(t *testing.T) {
	f := &Folder{Features: nil}
	p := f.NewPart("u:u1")
	p.Applied, p.Links = 7, []Link{{Device: "d", Time: day}}
	b := f.AppendPart(p, nil)
	// Without messages the end is three zeros, and before them the number of
	// external ids, which format 1 has not.
	old := append(b[:len(b)-4:len(b)-4], 0, 0, 0)
	old[0] = partFormat1
	q, err := f.DecodePart(old)
	if err != nil || q.Key != p.Key || len(q.Links) != 1 || q.Applied != 7 {
		t.Errorf("got %+v, %v", q, err)
	}
}
