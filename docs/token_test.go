package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// vector is one call of a helper. The last has an id that needs UTF-8 and the
// letters in which base64url differs from base64.
type vector struct {
	Secret  string `json:"secret"`
	User    string `json:"user"`
	Seconds int64  `json:"seconds"`
}

func vectors() []vector {
	return []vector{
		{"secret", "u1", 1_700_000_000},
		{"s3cr3t with spaces", "ann@example.com", 4_102_444_800},
		{"k", "Zoë/日本?", 4_102_444_800},
	}
}

// driver is how a language runs its helper over the vectors in vectors.json
// and prints one token a line.
type driver struct {
	snippet string // its name in GUIDE.md, and its file
	file    string
	code    string
	command []string
}

func drivers() []driver {
	return []driver{
		{"user-token.mjs", "run.mjs", `import { readFileSync } from "node:fs";
import { userToken } from "./user-token.mjs";
for (const v of JSON.parse(readFileSync("vectors.json"))) console.log(userToken(v.secret, v.user, v.seconds));
`, []string{"node", "run.mjs"}},
		{"user_token.py", "run.py", `import json
from user_token import user_token
for v in json.load(open("vectors.json", encoding="utf-8")):
    print(user_token(v["secret"], v["user"], v["seconds"]))
`, []string{"python3", "run.py"}},
		{"usertoken.go", "main.go", `package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var vs []struct{ Secret, User string; Seconds int64 }
	b, _ := os.ReadFile("vectors.json")
	_ = json.Unmarshal(b, &vs)
	for _, v := range vs {
		fmt.Println(UserToken(v.Secret, v.User, v.Seconds))
	}
}
`, []string{"go", "run", "main.go", "usertoken.go"}},
	}
}

// snippet returns the fenced code of GUIDE.md that follows <!-- snippet: name -->.
func snippet(t *testing.T, name string) string {
	t.Helper()
	after := regexp.MustCompile("(?s)<!-- snippet: " + regexp.QuoteMeta(name) + " -->\n```[a-z]+\n(.*?)\n```\n")
	m := after.FindStringSubmatch(read(t, "GUIDE.md"))
	if m == nil {
		t.Fatalf("GUIDE.md has no snippet %s", name)
	}
	return m[1] + "\n"
}

// TestUserTokenHelpers runs the helpers that the guide gives: they make the
// tokens that identity makes and reads.
func TestUserTokenHelpers(t *testing.T) {
	var want strings.Builder
	for _, v := range vectors() {
		token := identity.UserToken([]byte(v.Secret), v.User, attune.Millis(v.Seconds*1000))
		if got, err := identity.ParseUserToken([][]byte{[]byte(v.Secret)}, token, 1); err != nil || got != v.User {
			t.Fatalf("%s reads as %q, %v", token, got, err)
		}
		want.WriteString(token + "\n")
	}
	list, err := json.Marshal(vectors())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drivers() {
		t.Run(d.snippet, func(t *testing.T) {
			code := snippet(t, d.snippet)
			if _, err := exec.LookPath(d.command[0]); err != nil {
				t.Skipf("%s is not installed", d.command[0])
			}
			dir := t.TempDir()
			for name, text := range map[string]string{d.snippet: code, d.file: d.code, "vectors.json": string(list)} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(d.command[0], d.command[1:]...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != want.String() {
				t.Errorf("got %v\n%swant\n%s", err, out, want.String())
			}
		})
	}
}
