package collect

import (
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// campaignFields is the number of fields of a campaign.
const campaignFields = 5

// campaignField returns the place of a field of context.campaign, -1 for
// others. UTM parameters have the same names, but for utm_campaign.
func campaignField(name string) int {
	switch name {
	case "source":
		return 0
	case "medium":
		return 1
	case "name":
		return 2
	case "term":
		return 3
	case "content":
		return 4
	default:
		return -1
	}
}

// maxEnrichedItems bounds the products of one event that are looked up, and
// maxEnrichedText every text that enrichment takes from an event.
const (
	maxEnrichedItems = 200
	maxEnrichedText  = 1024
)

// enrich appends what the edge adds to the event as a JSON object to b, or
// nothing when there is nothing to add:
//
//	{"device":{"type","os","os_version","browser","browser_version"},
//	 "page":{"path","host","referrer_host"},
//	 "campaign":{"source","medium","name","term","content"},
//	 "items":{"<product id>":{"category","brand"}, …}}
//
// Members without a value are absent. Items has the products that lack a
// category or a brand of their own and that the catalog knows.
func (c *Collector) enrich(b []byte, w *work, d *draft, a agent) []byte {
	start := len(b)
	if a.device != "" {
		b = append(appendMember(b, start, "device"), a.device...)
	}
	d.pageOfProperties()
	mark := len(b)
	if b = d.appendPage(appendMember(b, start, "page")); b[len(b)-1] == ':' {
		b = b[:mark]
	}
	mark = len(b)
	if b = d.appendCampaign(appendMember(b, start, "campaign")); b[len(b)-1] == ':' {
		b = b[:mark]
	}
	if c.o.Items != nil && d.e.Properties != nil {
		mark = len(b)
		if d.lacksAttributes() {
			b = appendItems(appendMember(b, start, "items"), w, &d.e, c.o.Items)
			if b[len(b)-1] == ':' {
				b = b[:mark]
			}
		}
	}
	if len(b) > start {
		b = append(b, '}')
	}
	return b
}

// appendMember appends the name of a member of the object that starts at
// start.
func appendMember(b []byte, start int, name string) []byte {
	if len(b) == start {
		b = append(b, '{')
	} else {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// pageOfProperties takes the page of a server's page call from its properties,
// where the specification puts it.
func (d *draft) pageOfProperties() {
	if d.e.Type != attune.Page || d.page.url != "" || d.e.Properties == nil {
		return
	}
	d.properties().ForEach(func(k, v gjson.Result) bool {
		d.page.field(k.Str, v)
		return true
	})
}

// properties returns the event's properties, which are not nil.
func (d *draft) properties() gjson.Result {
	start := cap(d.e.Raw) - cap(d.e.Properties)
	return gjson.Parse(d.text[start : start+len(d.e.Properties)])
}

// lacksAttributes reports whether the event names products of which the
// catalog may know more: a list of them, or one without category or brand. It
// saves most events the closer look.
func (d *draft) lacksAttributes() bool {
	var list, one, category, brand bool
	d.properties().ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "products":
			list = v.IsArray()
		case "product_id", "sku":
			one = true
		case "category":
			category = v.Type == gjson.String
		case "brand":
			brand = v.Type == gjson.String
		}
		return true
	})
	return list || one && (!category || !brand)
}

func (d *draft) appendPage(b []byte) []byte {
	host, path := splitURL(d.page.url)
	if d.page.path != "" {
		path = d.page.path
	}
	from, _ := splitURL(d.page.referrer)
	b = appendText(b, "path", path)
	b = appendText(b, "host", host)
	b = appendText(b, "referrer_host", from)
	return closeObject(b)
}

func (d *draft) appendCampaign(b []byte) []byte {
	fields := d.campaign
	if fields == ([campaignFields]string{}) {
		query := d.page.search
		if query == "" {
			_, query, _ = strings.Cut(d.page.url, "?")
		}
		utm(&fields, query)
	}
	for i, name := range [...]string{"source", "medium", "name", "term", "content"} {
		b = appendText(b, name, fields[i])
	}
	return closeObject(b)
}

// utm fills fields from the utm_ parameters of a query.
func utm(fields *[campaignFields]string, query string) {
	if !strings.Contains(query, "utm_") {
		return
	}
	query, _, _ = strings.Cut(strings.TrimPrefix(query, "?"), "#")
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, ok := strings.CutPrefix(name, "utm_")
		if !ok {
			continue
		}
		switch name {
		case "campaign":
			name = "name"
		case "name":
			continue
		}
		if i := campaignField(name); i >= 0 {
			if plain, err := url.QueryUnescape(value); err == nil {
				fields[i] = plain
			}
		}
	}
}

// splitURL returns host, lower case and with its port, and path of an absolute
// URL; "" of anything else. It reads loosely: these are texts of a browser's
// address bar, not requests.
func splitURL(s string) (host, path string) {
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", ""
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path = rest[:end], rest[end:]
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	return strings.ToLower(host), path
}

// appendItems appends the object of "items", or nothing.
func appendItems(b []byte, w *work, e *attune.Event, items Items) []byte {
	w.products = attune.AppendProducts(w.products[:0], e)
	start := len(b)
	for i := range w.products[:min(len(w.products), maxEnrichedItems)] {
		p := &w.products[i]
		hasCategory, hasBrand := says(p)
		if hasCategory && hasBrand || w.listed(i) {
			continue
		}
		category, brand, ok := items.Attributes(p.ID)
		if hasCategory {
			category = ""
		}
		if hasBrand {
			brand = ""
		}
		if !ok || category == "" && brand == "" {
			continue
		}
		if len(b) == start {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(b, p.ID)
		b = append(b, ':')
		b = appendText(b, "category", category)
		b = closeObject(appendText(b, "brand", brand))
	}
	if len(b) > start {
		b = append(b, '}')
	}
	return b
}

// says reports whether p says its own category and brand. Of two members with
// one name the first counts.
func says(p *attune.Product) (category, brand bool) {
	var c, b gjson.Result
	gjson.Parse(p.Raw).ForEach(func(k, v gjson.Result) bool {
		switch {
		case k.Str == "category" && !c.Exists():
			c = v
		case k.Str == "brand" && !b.Exists():
			b = v
		}
		return !c.Exists() || !b.Exists()
	})
	return c.Type == gjson.String, b.Type == gjson.String
}

// listed reports whether product i was already seen under its id: an object
// has a name once.
func (w *work) listed(i int) bool {
	for j := range i {
		if w.products[j].ID == w.products[i].ID {
			return true
		}
	}
	return false
}

// appendText appends a member like appendField, cut to a bound.
func appendText(b []byte, name, value string) []byte {
	return appendField(b, name, cut(value, maxEnrichedText))
}

// closeObject ends an object that has members; b ends in a colon when it has
// none.
func closeObject(b []byte) []byte {
	if b[len(b)-1] == ':' {
		return b
	}
	return append(b, '}')
}
