package config

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// environment is what the tests' references find.
func environment(name string) (string, bool) {
	v, ok := map[string]string{"ATTUNE_SECRET": "sk_0123456789abcdef0123", "EMPTY": ""}[name]
	return v, ok
}

// TestFaults reads testdata/*.yaml; beside each lies what is wrong with it.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := "no fault\n"
			if _, err := Load(b, environment, nil); err != nil {
				if !errors.Is(err, attune.ErrInvalid) {
					t.Errorf("%v is no attune.ErrInvalid", err)
				}
				got = err.Error() + "\n"
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".faults"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestStarterIsValid(t *testing.T) {
	b, err := Starter(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(b, environment, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.Keys.Sources); got != 1 {
		t.Errorf("sources: got %d, want 1", got)
	}
	if bytes.Contains(b, []byte("@")) {
		t.Error("the starter still holds a mark for a key")
	}
	again, err := Starter(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(b, again) {
		t.Error("two starters have the same keys")
	}
	k, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(k.Placements); got != 9 {
		t.Errorf("placements: got %d, want the eight built-in ones and home", got)
	}
}

// TestStarterShowsDefaults takes the comment signs away: what is commented out
// is the default.
func TestStarterShowsDefaults(t *testing.T) {
	var lines []string
	for line := range strings.Lines(starterText) {
		rest, ok := strings.CutPrefix(line, "# ")
		name, _, _ := strings.Cut(strings.TrimSpace(rest), ":")
		if ok && slices.Contains([]string{
			"admin_listen", "partitions", "identity", "links", "sec_gpc", "limits", "request_bytes", "event_bytes",
			"batch_events", "journal", "retention", "profiles", "cache_bytes", "defaults", "features", "placements",
			"log", "level", "format",
		}, name) {
			line = rest
		}
		lines = append(lines, line)
	}
	c, err := Parse([]byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	d.Keys, d.Features, d.Segments, d.Placements = c.Keys, c.Features, c.Segments, c.Placements
	if got := Diff(&d, &c); len(got) > 0 {
		t.Errorf("differs from the defaults: %v", got)
	}
}

func TestDefaultIsValidInDev(t *testing.T) {
	c := Default()
	c.Dev = true
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	k := c.EffectiveKeys()
	if got := k.Sources[0].WriteKey; got != DevWriteKey {
		t.Errorf("write key: got %q, want %q", got, DevWriteKey)
	}
	if got := k.ServerSecrets; !slices.Equal(got, []string{DevServerSecret}) {
		t.Errorf("server secrets: got %v", got)
	}
}

func TestEmptyFileIsDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "null\n", "keys:\nlimits:\n"} {
		c, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		d := Default()
		if got := Diff(&d, &c); len(got) > 0 {
			t.Errorf("%q differs from the default: %v", text, got)
		}
	}
}

func TestWithoutKeys(t *testing.T) {
	c := Default()
	err := c.Validate()
	if err == nil || !strings.Contains(err.Error(), "attune init") {
		t.Errorf("got %v, want one that names attune init", err)
	}
}

func TestDevIsLoopback(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:0": true, "[::1]:80": true,
		":8080": false, "0.0.0.0:8080": false, "192.168.1.4:80": false, "example.com:80": false,
	} {
		c := Default()
		c.Dev, c.Listen = true, listen
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%s: got %v, want valid %v", listen, err, ok)
		}
	}
}

// TestPartialFileKeepsDefaults sets one field of a group.
func TestPartialFileKeepsDefaults(t *testing.T) {
	c, err := Parse([]byte("limits:\n  event_bytes: 32KB\njournal: {retention: 90d}\nplacements:\n  similar:\n    generators: [{kind: popular}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default().Limits
	want.EventBytes = 32 << 10
	if c.Limits != want {
		t.Errorf("limits: got %+v, want %+v", c.Limits, want)
	}
	if got := c.Journal.Retention.String(); got != "90d" || c.Journal.Kind != KindDisk {
		t.Errorf("journal: got %+v", c.Journal)
	}
	k, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range k.Placements {
		names = append(names, p.Name)
		if p.Name == "similar" && len(p.Generators) != 1 {
			t.Errorf("similar: got %d generators, want its own", len(p.Generators))
		}
	}
	if len(names) != 8 || !slices.IsSorted(names) {
		t.Errorf("placements: got %v", names)
	}
}

func TestResolve(t *testing.T) {
	c, err := Load([]byte("keys:\n  sources: [{id: a, write_key: w}]\n  server_secrets: ['${ATTUNE_SECRET}']\n  visitor_secret: 'x-${ATTUNE_SECRET}'\n"), environment, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Keys.ServerSecrets[0]; got != "sk_0123456789abcdef0123" {
		t.Errorf("got %q", got)
	}
	if got := c.Keys.VisitorSecret; got != "x-sk_0123456789abcdef0123" {
		t.Errorf("got %q", got)
	}
}

func TestFaultsHoldNoSecret(t *testing.T) {
	b := "keys:\n  sources: [{id: a, write_key: hush}]\n  server_secrets: [hush, hush]\n  visitor_secret: hush\n"
	_, err := Load([]byte(b), environment, nil)
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v, want faults that do not repeat a key", err)
	}
	_, err = Load([]byte("keys: {server_secrets: [123456], visitor_secret: 1.5}\n"), environment, nil)
	if err == nil || strings.Contains(err.Error(), "123456") || strings.Contains(err.Error(), "1.5") {
		t.Errorf("got %v, want faults that do not repeat a key", err)
	}
}

func TestDiff(t *testing.T) {
	for text, want := range map[string][]Change{
		"":                         nil,
		"listen: 127.0.0.1:1":      {{"listen", Restart}},
		"partitions: 8":            {{"partitions", Migrate}},
		"log: {level: debug}":      {{"log.level", Live}},
		"search: {backend: bleve}": {{"search", Restart}},
		"feeds: [{name: a, file: x, format: shopify}]":                                    {{"feeds", Restart}},
		"limits: {dead_letters: 1, pending_bytes: 1GB}":                                   {{"limits", Restart}},
		"destinations: [{name: a, kind: webhook, url: x, secret: y}]":                     {{"destinations", Live}},
		"collect: {plans: [{name: a, events: {}}]}":                                       {{"collect.plans", Live}},
		"features: [{name: a, kind: count, on: [page]}]":                                  {{"features", Rebuild}},
		"defaults: {features: false, placements: false}":                                  {{"features", Rebuild}, {"placements", Live}},
		"placements: {a: {generators: [{kind: popular}]}}\nkeys: {server_secrets: [abc]}": {{"keys", Live}, {"placements", Live}},
	} {
		c, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		d := Default()
		got := Diff(&d, &c)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
		live := !strings.Contains(text, "listen") && !strings.Contains(text, "partitions") && !strings.Contains(text, "limits") && !strings.Contains(text, "search") && !strings.Contains(text, "feeds")
		if Reloadable(got) != live {
			t.Errorf("%s: reloadable: got %v", text, !live)
		}
	}
}

// TestBounds gives what would keep the YAML reader busy for minutes, or the
// compiler.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", MaxBytes),
		"braces":   strings.Repeat("{a: ", MaxBytes/4),
		"dashes":   strings.Repeat("- ", MaxBytes/2),
		"keys":     strings.Repeat("? ", MaxBytes/2),
		"large":    strings.Repeat("# \n", MaxBytes),
		"many":     "segments:\n" + strings.Repeat("- {name: a, when: x}\n", maxDefinitions+1),
	} {
		if _, err := Load([]byte(text), nil, nil); err == nil || len(err.Error()) > 200 && name != "many" {
			t.Errorf("%s: got %v, want one fault", name, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "12": 12, "12B": 12, "64KB": 64 << 10, "64 kib": 64 << 10, "4MB": 4 << 20, "4M": 4 << 20, "1GB": 1 << 30, "2TiB": 2 << 40,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
		if back, err := ParseSize(got.String()); err != nil || back != got {
			t.Errorf("%q: %s reads as %d, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "KB", "-1", "1.5MB", "1XB", "99999999999GB", "9223372036854775808"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	starter, err := Starter(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(starter)
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Load(b, environment, nil)
		if err == nil {
			if _, err := c.Compile(); err != nil {
				t.Errorf("valid, but does not compile: %v", err)
			}
		}
	})
}

// TestDuplicateSegmentIsCheckedWhole: a name that is there twice does not hide
// what is wrong with the condition beside it, nor the place in it.
func TestDuplicateSegmentIsCheckedWhole(t *testing.T) {
	_, err := Load([]byte("dev: true\nsegments:\n  - name: a\n    when: traits.x == 1\n  - name: a\n    when: features.vews_1h > 3\n  - name: a\n    when: traits.x >\n"), nil, nil)
	want := `line 5: segments[1].name: segment "a" is there twice, also as segments[0]
line 6:19: segments[1].when: unknown feature "vews_1h"; did you mean "views_1h"?
line 7: segments[2].name: segment "a" is there twice, also as segments[0]
line 8:21: segments[2].when: the expression ends too early`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestRefuse: a value that cannot be taken is named with its line.
func TestRefuse(t *testing.T) {
	c, err := Load([]byte("dev: true\npartitions: 8\n"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Refuse("partitions", "cannot change on this data directory; start with an empty one")
	if got, want := err.Error(), "line 2: partitions: cannot change on this data directory; start with an empty one"; got != want || !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("got %s, want %s as attune.ErrInvalid", got, want)
	}
}
