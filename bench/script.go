package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// The placeholders of a request, each as wide as what replaces it, so that a
// request's length never changes.
const (
	markMessage = "{mmmmmmmmmmmmmm}" // 16 bytes: an id that no request had before
	markPerson  = "{pppppp}"         // 8 digits
	markItem    = "{iiii}"           // 6 digits
)

// script is a raw HTTP request with placeholders. wrk's Lua script and our own
// generator fill in the same text.
type script struct {
	text          string
	people, items int
}

// request makes a script of a request to the server at address.
func request(address, method, path, key, body string, people, items int) script {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, address, key)
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	return script{text: b.String(), people: people, items: items}
}

// Keys of the --dev mode, as header lines.
const (
	writeKey = "Authorization: Basic ZGV2Og==\r\n"
	secret   = "Authorization: Bearer dev-secret\r\n"
)

// properties are what a shop says of the item {iiii}.
const properties = `{"product_id":"sku-` + markItem + `","sku":"sku-` + markItem + `","name":"Trail Shoe ` + markItem + `",` +
	`"category":"%s","brand":"Brand %s","price":59.9,"currency":"EUR","position":3,"quantity":1,` +
	`"variant":"43 / granite / waterproof","coupon":"AUTUMN-10","value":59.9,"list_id":"c-17","index":2,` +
	`"url":"https://shop.example.com/p/sku-` + markItem + `","image_url":"https://img.example.com/p/sku-` + markItem + `.webp"}`

// browser is the context that Segment's browser SDK sends.
const browser = `{"page":{"path":"/p/sku-` + markItem + `","referrer":"https://www.example.com/search?q=trail+shoe","search":"?utm_source=news&utm_medium=email&utm_campaign=autumn",` +
	`"title":"Trail Shoe ` + markItem + ` - The Example Shop","url":"https://shop.example.com/p/sku-` + markItem + `?utm_source=news&utm_medium=email&utm_campaign=autumn"},` +
	`"userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",` +
	`"locale":"en-US","timezone":"Europe/Berlin","campaign":{"source":"news","medium":"email","name":"autumn"},` +
	`"library":{"name":"analytics.js","version":"npm:next-1.70.0"},"screen":{"width":1920,"height":1080,"density":2}}`

// device is the anonymousId of a person.
const device = `00000000-0000-4000-8000-0000` + markPerson

// viewed is a product view of about 1.2 KB as a browser sends it.
func viewed() string {
	return `{"type":"track","event":"Product Viewed","messageId":"ajs-next-` + markMessage + `","anonymousId":"` + device +
		`","userId":"u` + markPerson + `","properties":` + fmt.Sprintf(properties, "Shoes", "7") + `,"context":` + browser + `}`
}

// filler replaces placeholders in place. It belongs to one goroutine.
type filler struct {
	rand   *rand.Rand
	people func() int
	items  int
	tag    string // 6 bytes, of no other filler
	count  uint64
}

// event appends text with one person, one item and one fresh id filled in.
func (f *filler) event(b []byte, text string) []byte {
	f.count++
	message := fmt.Sprintf("%s%010d", f.tag, f.count)
	person := fmt.Sprintf("%08d", f.people())
	item := fmt.Sprintf("%06d", f.rand.IntN(f.items))
	for {
		i := strings.IndexByte(text, '{')
		if i < 0 || i+3 >= len(text) {
			return append(b, text...)
		}
		b, text = append(b, text[:i]...), text[i:]
		switch {
		case strings.HasPrefix(text, markMessage):
			b, text = append(b, message...), text[len(markMessage):]
		case strings.HasPrefix(text, markPerson):
			b, text = append(b, person...), text[len(markPerson):]
		case strings.HasPrefix(text, markItem):
			b, text = append(b, item...), text[len(markItem):]
		default:
			b, text = append(b, '{'), text[1:]
		}
	}
}

// newFiller returns the filler of worker n of a run. Runs have other tags, so
// that no message id comes twice.
func newFiller(s script, run, n int) *filler {
	r := rand.New(rand.NewPCG(uint64(run), uint64(n)))
	return &filler{
		rand: r, items: max(1, s.items), tag: tag(run) + strconv.Itoa(n%90+10),
		people: func() int { return r.IntN(max(1, s.people)) },
	}
}

// tag is 4 letters for a run.
func tag(run int) string { return fmt.Sprintf("%04x", run&0xffff) }
