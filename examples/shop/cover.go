package shop

import (
	"bytes"
	"embed"
	"fmt"
	"html"
	"net/url"
	"strings"
	"unicode"

	"github.com/attune-io/attune"
)

// The motifs are fragments of SVG in a box of 200 by 200. Their classes: a the
// item's colour (or its pattern), d dark, l light, w white, f a warm accent, b
// the background, r a thick ring, k, m, n and h lines.
//
//go:embed motif
var motifs embed.FS

// CoverURL returns the address of an item's cover in a shop mounted at base.
func CoverURL(base, id, name, category string) string {
	return base + "cover/" + url.PathEscape(id) + ".svg?" + url.Values{"name": {name}, "category": {category}}.Encode()
}

// Cover returns an SVG picture of an item. The same id, name and category give
// the same bytes, always. The name says what is drawn; it stands in the title
// alone, since a page writes it below. Any text is safe in it.
func Cover(id, name, category string) []byte {
	words := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool { return (r < 'A' || r > 'Z') && r != '\'' })
	seed := attune.Hash(id)
	p := paletteOf(category)
	motif := motifOf(words, category)
	if main, ok := colourOf(words); ok {
		p.main = main
	} else if motif == "tree" {
		p.main = "#3f7d58"
	}
	drawing, err := motifs.ReadFile("motif/" + motif + ".svg")
	if err != nil {
		drawing = nil // a cover without its motif is still a cover
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" role="img"><title>%s</title><defs>`, html.EscapeString(clean(name)))
	fmt.Fprintf(&b, `<linearGradient id="g" x1="0" y1="0" x2=".4" y2="1"><stop offset="0" stop-color="%s"/><stop offset="1" stop-color="%s"/></linearGradient>`, p.top, p.bottom)
	fill := pattern(&b, words, p)
	b.WriteString(`</defs><style>`)
	if p.main == white { // or it would melt into the ground
		fmt.Fprintf(&b, `.a{stroke:%s;stroke-opacity:.3;stroke-width:3}`, p.dark)
	}
	fmt.Fprintf(&b, `.a,.a *{fill:%s}.d,.d *{fill:%s}.l,.l *{fill:%s}.f,.f *{fill:%s}.b,.b *{fill:%s}.w{fill:#fffdf8}`, fill, p.dark, p.light, p.warm, p.bottom)
	fmt.Fprintf(&b, `.k,.m,.n,.h,.r{fill:none;stroke:%s;stroke-width:7;stroke-linecap:round;stroke-linejoin:round}.n{stroke-width:4}.m{stroke:#fffdf8;stroke-opacity:.85}.h{stroke:#fff;stroke-opacity:.5}.r{stroke:%s;stroke-width:34}</style>`, p.dark, p.main)
	b.WriteString(`<rect width="400" height="400" fill="url(#g)"/>`)
	scene(&b, seed, p)
	fmt.Fprintf(&b, `<ellipse cx="200" cy="289" rx="84" ry="9" fill="%s" opacity=".14"/>`, p.dark)
	fmt.Fprintf(&b, `<g transform="translate(100 92) rotate(%d 100 100)">%s</g>`, int(seed>>8&7)-3, bytes.TrimSpace(drawing))
	b.WriteString(`</svg>`)
	return b.Bytes()
}

// scene draws what is behind the motif: one of four, by the item.
func scene(b *bytes.Buffer, seed uint64, p palette) {
	switch seed % 4 {
	case 0:
		fmt.Fprintf(b, `<circle cx="200" cy="165" r="132" fill="%s" opacity=".55"/>`, p.glow)
	case 1:
		fmt.Fprintf(b, `<path d="M78 400V165a122 122 0 0 1 244 0v235z" fill="%s" opacity=".5"/>`, p.glow)
	case 2:
		fmt.Fprintf(b, `<path d="M0 270c90-46 170-46 240-12s120 26 160 2v140H0z" fill="%s" opacity=".5"/><circle cx="306" cy="92" r="42" fill="%s" opacity=".6"/>`, p.glow, p.glow)
	default:
		fmt.Fprintf(b, `<path d="M48 60a200 200 0 0 1 290 20c60 70 40 170-60 206s-220-6-246-90c-14-50-10-106 16-136z" fill="%s" opacity=".55"/>`, p.glow)
	}
}

// pattern writes the item's pattern, if its name tells of one, and returns the
// fill to draw it with.
func pattern(b *bytes.Buffer, words []string, p palette) string {
	open := func(size, turn int) {
		fmt.Fprintf(b, `<pattern id="p" width="%d" height="%d" patternUnits="userSpaceOnUse" patternTransform="rotate(%d)"><rect width="%d" height="%d" fill="%s"/>`, size, size, turn, size, size, p.main)
	}
	for _, w := range words {
		switch w {
		case "RETROSPOT", "POLKADOT", "SPOT", "SPOTTY", "DOTCOM", "SPOTS", "DOTS":
			open(26, 30)
			b.WriteString(`<circle cx="13" cy="13" r="6.5" fill="#fffdf8"/></pattern>`)
		case "STRIPE", "STRIPES", "STRIPEY", "STRIPED", "CIRCUS":
			open(24, 0)
			b.WriteString(`<rect width="10" height="24" fill="#fffdf8" opacity=".75"/></pattern>`)
		case "GINGHAM", "TARTAN", "CHECK", "SCOTTIE", "SCOTTY":
			open(28, 0)
			b.WriteString(`<path d="M0 0h14v28H0zM0 0h28v14H0z" fill="#fffdf8" opacity=".4"/></pattern>`)
		case "PAISLEY", "FLORAL", "ROSE", "ROSES", "DAISY", "FLOWERS", "DOILY", "LACE", "MORRIS":
			open(44, 15)
			fmt.Fprintf(b, `<g fill="#fffdf8" opacity=".7"><circle cx="14" cy="8" r="5"/><circle cx="20" cy="13" r="5"/><circle cx="18" cy="20" r="5"/><circle cx="10" cy="20" r="5"/><circle cx="8" cy="13" r="5"/></g><circle cx="14" cy="14" r="4" fill="%s"/><circle cx="36" cy="36" r="3.5" fill="#fffdf8" opacity=".6"/></pattern>`, p.warm)
		case "UNION":
			open(60, 0)
			b.WriteString(`<path d="M0 0l60 60M60 0L0 60" stroke="#fffdf8" stroke-width="7"/><path d="M30 0v60M0 30h60" stroke="#fffdf8" stroke-width="14"/><path d="M30 0v60M0 30h60" stroke="#b8343f" stroke-width="7"/></pattern>`)
		default:
			continue
		}
		return "url(#p)"
	}
	return p.main
}

// clean drops what XML 1.0 cannot hold and puts a replacement for broken UTF-8.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
