package collect

import (
	"strings"

	"github.com/tidwall/gjson"
)

// normal returns c with its defaults.
func (c Consent) normal() Consent {
	if len(c.Categories) == 0 {
		c.Categories = []string{"personalization", "personalisation", "personalization_storage"}
	}
	return c
}

// names reports whether category is one that allows personalization.
func (c *Consent) names(category string) bool {
	for _, n := range c.Categories {
		if strings.EqualFold(n, category) {
			return true
		}
	}
	return false
}

// segment reads Segment's context.consent: categoryPreferences {name: bool},
// with Google's "granted" and "denied" taken as well.
func (c *Consent) segment(v gjson.Result, d *draft) {
	v.Get("categoryPreferences").ForEach(func(k, v gjson.Result) bool {
		if c.names(k.Str) {
			switch {
			case v.Type == gjson.True, v.Str == "granted":
				d.allowed = true
			case v.Type == gjson.False, v.Str == "denied":
				d.denied = true
			}
		}
		return true
	})
}

// rudder reads RudderStack's context.consentManagement: two lists of ids, some
// providers send the allowed one as an object.
func (c *Consent) rudder(v gjson.Result, d *draft) {
	mark := func(list string, flag *bool) {
		v.Get(list).ForEach(func(k, id gjson.Result) bool {
			if c.names(id.Str) || c.names(k.Str) {
				*flag = true
			}
			return true
		})
	}
	mark("allowedConsentIds", &d.allowed)
	mark("deniedConsentIds", &d.denied)
}
