package collect

import (
	"strings"
	"unsafe"

	"github.com/mileusna/useragent"
	"github.com/tidwall/gjson"
)

// maxAgent is how much of a user agent is looked at. Real ones have some 200
// bytes.
const maxAgent = 512

// agent is what a User-Agent says.
type agent struct {
	bot bool
	// device is the JSON object of Event.Enriched's "device", "" when the
	// user agent says nothing.
	device string
}

// agentCache remembers what user agents say: reading one costs more than all
// the rest of an event, and a site sees few different ones.
type agentCache struct {
	seen   *aging[agent]
	robots Robots
}

func newAgentCache(limit int, robots *Robots) *agentCache {
	return &agentCache{newAging[agent](limit), *robots}
}

func (c *agentCache) read(text string) agent {
	if text == "" {
		return agent{}
	}
	if len(text) > maxAgent {
		text = cut(text, maxAgent)
	}
	if a, ok := c.seen.get(unsafe.Slice(unsafe.StringData(text), len(text))); ok { //nolint:gosec // get only reads
		return a
	}
	text = strings.Clone(text)
	a := readAgent(text, c.robots.agent(text))
	c.seen.put(text, a)
	return a
}

// readAgent reads a user agent. A headless Chrome is not taken for a bot: it
// is what a shop's own tests and previews are made with, and the crawlers that
// matter give their name. One that is known as a robot otherwise is one.
func readAgent(text string, robot bool) agent {
	ua := useragent.Parse(text)
	a := agent{bot: robot || ua.Bot && ua.Name != useragent.HeadlessChrome}
	kind, osVersion, browser := "", ua.OSVersion, ua.Name
	if ua.OS == useragent.Linux {
		osVersion = "" // Linux says the processor there
	}
	if browser == text {
		browser = "" // nothing was found
	}
	switch {
	case a.bot:
		kind = "bot"
	case ua.Tablet:
		kind = "tablet"
	case ua.Mobile:
		kind = "mobile"
	case ua.Desktop, ua.Name == useragent.HeadlessChrome && ua.OS != "":
		kind = "desktop"
	}
	var b []byte
	for _, f := range [...]struct{ name, value string }{
		{"type", kind},
		{"os", ua.OS},
		{"os_version", osVersion},
		{"browser", browser},
		{"browser_version", ua.Version},
	} {
		b = appendField(b, f.name, f.value)
	}
	if len(b) > 0 {
		a.device = string(append(b, '}'))
	}
	return a
}

// appendField appends a member to a JSON object that is still open: b is empty
// before the first one. Nothing is appended for an empty value.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = appendName(b, name)
	return gjson.AppendJSONString(b, value)
}

// appendName appends a member's name, and the brace or comma before it. Names
// are plain.
func appendName(b []byte, name string) []byte {
	if len(b) == 0 || b[len(b)-1] == ':' {
		b = append(b, '{')
	} else {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}
