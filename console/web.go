package console

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
)

// web is the console's pages, as the browser gets them.
//
//go:embed web
var web embed.FS

// page is an HTML page with a place for a few words.
type page struct{ *template.Template }

func loginPage() page {
	// The file is part of the build: a fault in it is one of the build.
	return page{template.Must(template.ParseFS(web, "web/login.html"))}
}

func indexPage() []byte {
	b, _ := web.ReadFile("web/index.html") // it is embedded
	return b
}

// showLogin answers the login page.
func (c *Console) showLogin(w http.ResponseWriter, status int, fault string) {
	var b bytes.Buffer
	if err := c.login.Execute(&b, map[string]any{"Dev": c.o.Dev, "Fault": fault}); err != nil {
		http.Error(w, "the login page could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// assets serves style and scripts. They hold no secrets, and the login page
// needs them.
func assets() http.Handler {
	type asset struct {
		kind, tag string
		body      []byte
	}
	all := map[string]asset{}
	entries, _ := web.ReadDir("web") // it is embedded
	for _, e := range entries {
		var kind string
		switch path.Ext(e.Name()) {
		case ".js":
			kind = "text/javascript; charset=utf-8"
		case ".css":
			kind = "text/css; charset=utf-8"
		case ".svg":
			kind = "image/svg+xml"
		default:
			continue
		}
		body, _ := web.ReadFile("web/" + e.Name())
		all["/console/assets/"+e.Name()] = asset{kind, `"` + strconv.FormatUint(attune.Hash(string(body)), 36) + `"`, body}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := all[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("ETag", a.tag)
		h.Set("Cache-Control", "no-cache")
		if strings.Contains(r.Header.Get("If-None-Match"), a.tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(a.body)
	})
}
