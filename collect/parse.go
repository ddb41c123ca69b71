package collect

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

const (
	// maxMessageID is the longest messageId that is kept, in characters.
	maxMessageID = 100
	// maxName is the longest event name, in bytes.
	maxName = 512
	// maxDepth bounds how deep an event may nest, so that whoever walks it may
	// recurse; maxBodyDepth does so for a whole body before anything walks it.
	maxDepth     = 64
	maxBodyDepth = 10_000
)

// draft is an event being read: what it says, before the edge has settled it.
type draft struct {
	e    attune.Event
	text string // e.Raw as a string; every string of the draft is part of it

	userID, anonymousID, previousID string // as sent
	explicitName                    string // "name"
	timestamp                       attune.Millis
	channel                         string
	tokens                          bool // carries credentials that are not for keeping
	badShape                        string
	badName                         bool

	library, agent string
	ip             string // context.ip
	page           pageFacts
	campaign       [campaignFields]string
	allowed        bool // consent
	denied         bool
}

// pageFacts are what context.page says.
type pageFacts struct{ url, path, referrer, search string }

// fault is why an event is refused.
type fault struct{ code, reason string }

func (f *fault) bad() bool { return f.code != "" }

// read reads one event, valid JSON of sane depth, into d. kind is its type when the route
// says it. Raw and text are the same bytes; d keeps both.
func (d *draft) read(raw []byte, text string, kind attune.Type, consent *Consent) fault {
	*d = draft{text: text}
	d.e.Raw = raw
	root := gjson.Parse(text)
	if !root.IsObject() {
		return fault{CodeJSON, "an event is a JSON object, got " + kindOf(root)}
	}
	said := ""
	root.ForEach(func(k, v gjson.Result) bool {
		d.field(k.Str, v, &said)
		return true
	})
	if d.badShape != "" {
		return fault{CodeShape, d.badShape}
	}
	if f := d.settleType(kind, said); f.bad() {
		return f
	}
	if n := d.traits(); n > attune.MaxTraits {
		return fault{CodeShape, fmt.Sprintf("identify has %d traits, of which at most %d would be kept; send fewer", n, attune.MaxTraits)}
	}
	if d.e.Context != nil {
		start := cap(raw) - cap(d.e.Context)
		ctx := gjson.Parse(text[start : start+len(d.e.Context)])
		ctx.ForEach(func(k, v gjson.Result) bool {
			d.contextField(k.Str, v, consent)
			return true
		})
	}
	return fault{}
}

// field takes one member of the event. The last of two members with one name
// counts.
func (d *draft) field(name string, v gjson.Result, said *string) {
	switch name {
	case "type":
		*said = v.Str
	case "event":
		d.e.Name, d.badName = v.Str, v.Type != gjson.String && v.Type != gjson.Null
	case "name":
		d.explicitName = v.Str
	case "messageId":
		d.e.MessageID = scalar(v)
	case "userId":
		d.userID = scalar(v)
	case "anonymousId":
		d.anonymousID = scalar(v)
	case "previousId":
		d.previousID = scalar(v)
	case "groupId":
		d.e.GroupID = scalar(v)
	case "channel":
		d.channel = v.Str
	case "timestamp":
		d.timestamp = instant(v)
	case "originalTimestamp":
		d.e.Original = instant(v)
	case "sentAt":
		d.e.SentAt = instant(v)
	case "properties":
		d.e.Properties = d.object(name, v)
	case "traits":
		d.e.Traits = d.object(name, v)
	case "context":
		d.e.Context = d.object(name, v)
	case userTokenField, visitorTokenField:
		d.tokens = true
	}
}

// object returns v as a part of Raw. Nil: it is absent or null, or no object,
// which is a fault.
func (d *draft) object(name string, v gjson.Result) []byte {
	switch {
	case v.IsObject():
		return d.e.Raw[v.Index : v.Index+len(v.Raw)]
	case v.Type != gjson.Null:
		d.badShape = name + " is " + kindOf(v) + ", want an object"
	}
	return nil
}

// traits returns how many traits an identify has: the leaves of its traits,
// nested objects flattened. 0 where there cannot be too many.
func (d *draft) traits() int {
	if d.e.Type != attune.Identify || bytes.Count(d.e.Traits, []byte{':'}) <= attune.MaxTraits {
		return 0
	}
	return leaves(gjson.ParseBytes(d.e.Traits))
}

// leaves counts the members of an object, of sane depth, that are no objects.
func leaves(object gjson.Result) (n int) {
	object.ForEach(func(_, v gjson.Result) bool {
		if v.IsObject() {
			n += leaves(v)
		} else {
			n++
		}
		return true
	})
	return n
}

// settleType decides type and name.
func (d *draft) settleType(kind attune.Type, said string) fault {
	d.e.Type = kind
	if kind == attune.Unknown {
		d.e.Type = attune.ParseType(said)
	}
	if d.e.Type == attune.Unknown {
		switch {
		case said == "" && d.e.Name != "":
			d.e.Type = attune.Track // an inline event may leave the type out
		case said == "":
			return fault{CodeType, "the event has no type; want track, identify, page, screen, group or alias"}
		default:
			return fault{CodeType, fmt.Sprintf("unknown event type %q; want track, identify, page, screen, group or alias", cut(said, 64))}
		}
	}
	switch d.e.Type {
	case attune.Track:
		if d.badName {
			return fault{CodeName, "event is not a string; a track names its event"}
		}
	case attune.Page, attune.Screen:
		d.e.Name = d.explicitName
	default:
		d.e.Name = ""
	}
	switch {
	case d.e.Type == attune.Track && d.e.Name == "":
		return fault{CodeName, "a track without an event name"}
	case len(d.e.Name) > maxName:
		return fault{CodeName, fmt.Sprintf("the event name has %d bytes, the limit is %d", len(d.e.Name), maxName)}
	case !utf8.ValidString(d.e.Name):
		return fault{CodeName, "the event name is not UTF-8"}
	}
	return fault{}
}

// jitsu is the name of Jitsu's library.
const jitsu = "@jitsu/js"

// contextField takes one member of the event's context.
func (d *draft) contextField(name string, v gjson.Result, consent *Consent) {
	switch name {
	case "library":
		if d.library = v.Get("name").Str; d.library == jitsu {
			d.library += " " + v.Get("env").Str // one name for pages and for servers
		}
	case "userAgent":
		d.agent = v.Str
	case "ip":
		d.ip = v.Str
	case "page":
		v.ForEach(func(k, v gjson.Result) bool {
			d.page.field(k.Str, v)
			return true
		})
	case "campaign":
		v.ForEach(func(k, v gjson.Result) bool {
			if i := campaignField(k.Str); i >= 0 {
				d.campaign[i] = v.Str
			}
			return true
		})
	case "consent":
		consent.segment(v, d)
	case "consentManagement":
		consent.rudder(v, d)
	}
}

func (p *pageFacts) field(name string, v gjson.Result) {
	switch name {
	case "url":
		p.url = v.Str
	case "path":
		p.path = v.Str
	case "referrer":
		p.referrer = v.Str
	case "search":
		p.search = v.Str
	}
}

// settleIDs checks the ids. A junk id is dropped when another good one
// remains, because the event still says something true of that one; with none
// left the event is refused, since it would be everybody's.
func (d *draft) settleIDs() fault {
	var junk error
	keep := func(dst *string, name, id string) {
		if id == "" {
			return
		}
		if err := identity.CheckID(id); err != nil {
			junk = fmt.Errorf("%s: %w", name, err)
			return
		}
		*dst = id
	}
	keep(&d.e.UserID, "userId", d.userID)
	keep(&d.e.AnonymousID, "anonymousId", d.anonymousID)
	switch {
	case d.e.UserID != "" || d.e.AnonymousID != "":
	case junk != nil:
		return fault{CodeJunkID, errNoID + ": " + attune.Message(junk)}
	default:
		return fault{CodeNoID, errNoID}
	}
	keep(&d.e.PreviousID, "previousId", d.previousID)
	if !utf8.ValidString(d.e.GroupID) || len(d.e.GroupID) > identity.MaxID {
		d.e.GroupID = ""
	}
	return fault{}
}

// errNoID is what the SDKs' own servers say.
const errNoID = "request neither has anonymousId nor userId"

// settleMessageID keeps a usable messageId. A longer one becomes a UUID made
// of it, so that its retry is still known; an absent one becomes a new UUID.
func (d *draft) settleMessageID() {
	id := d.e.MessageID
	switch {
	case id == "":
		d.e.MessageID = uuid.NewString()
	case !utf8.ValidString(id), len(id) > maxMessageID && utf8.RuneCountInString(id) > maxMessageID:
		d.e.MessageID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)).String()
	}
}

// scalar returns a JSON string or number as the id it stands for, "" for
// anything else.
func scalar(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		return v.Raw
	default:
		return ""
	}
}

func kindOf(v gjson.Result) string {
	switch {
	case !v.Exists():
		return "nothing"
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	case v.IsBool():
		return "a boolean"
	default:
		return "a " + strings.ToLower(v.Type.String())
	}
}

// tooDeep reports whether JSON b nests deeper than limit. Most b have fewer
// brackets than that, which is a quick count.
func tooDeep(b []byte, limit int) bool {
	if bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) <= limit {
		return false
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// stringEnd returns the place of the quote that ends the string which starts
// at b[i], or len(b).
func stringEnd(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i+1:], '"')
		if n < 0 {
			return len(b)
		}
		i += n + 1
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
}
