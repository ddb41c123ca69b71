package serve

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// bodies are decide requests as clients write them, and what is not quite so.
var bodies = [...]string{
	`{"user_id":"u1","events":[{"type":"track","event":"Seen"}],"placements":[{"id":"for-you","limit":10}]}`,
	`{ "anonymous_id" : "a", "after":"t", "deadline_ms": 50, "explain" :true,"context":{"a":[1]},"placements":[{"id":"x","item":"i","items":["a","b"],"query":"q"},{"id":"y","items":[]}] , "user_token":"t"}` + "\n",
	`{}`, `{"events":[],"placements":[]}`, `{"placements":[{}]}`, `{"events":[1,"a",true,[]]}`, `{"context":"a"}`, `{"user_id":"zoë"}`,
}

var odd = [...]string{
	``, ` {}`, `[]`, `{`, `{} {}`, `{"user_id":null}`, `{"User_ID":"a"}`, `{"user_id":"a","user_id":"b"}`, `{"user_id":"a\u0062"}`,
	`{"user_id":1}`, `{"deadline_ms":1.5}`, `{"deadline_ms":"1"}`, `{"explain":1}`, `{"events":[null]}`, `{"events":{}}`, `{"placements":[null]}`,
	`{"placements":[{"limit":1e3}]}`, `{"placements":[{"items":[1]}]}`, `{"placements":[{"id":"a","ID":"b"}]}`, `{"placements":{}}`, "{\"user_id\":\"\xff\"}", `{"more":1}`,
	`{"context":null}`,
}

// The quick reader and encoding/json are of one mind wherever the quick one
// has a say.
func TestUsual(t *testing.T) {
	for _, body := range bodies {
		if usual([]byte(body)) == nil {
			t.Errorf("%s is read slowly", body)
		}
		sameAsk(t, []byte(body))
	}
	for _, body := range odd {
		if got := usual([]byte(body)); got != nil {
			t.Errorf("%s reads as %+v, want it left to encoding/json", body, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(rapid.SampledFrom(append(bodies[:], odd[:]...)).Draw(t, "body"))
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			if len(body) > 0 {
				body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] = rapid.SampledFrom([]byte(`{}[]",:\0e- u`+"\xc3\x00")).Draw(t, "byte")
			}
		}
		sameAsk(t, body)
	})
}

func FuzzUsual(f *testing.F) {
	for _, body := range append(bodies[:], odd[:]...) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { sameAsk(t, body) })
}

func sameAsk(t interface{ Fatalf(string, ...any) }, body []byte) {
	got := usual(body)
	if got == nil {
		return
	}
	want := new(ask)
	if err := decodeJSON(body, want); err != nil {
		t.Fatalf("%q reads, but encoding/json says %v", body, err)
	}
	if got, want := fmt.Sprintf("%#v", *got), fmt.Sprintf("%#v", *want); got != want {
		t.Fatalf("%q reads as %s, want %s", body, got, want)
	}
}
