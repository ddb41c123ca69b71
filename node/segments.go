package node

import (
	"context"
	"slices"

	"github.com/attune-io/attune/serve"
)

// audiences are the configured segments as the API shows them.
type audiences struct{ n *Node }

// Audiences returns them with their sizes.
func (a audiences) Audiences() []serve.Audience {
	defs, sizes := a.n.rules.Load().Segments.Definitions(), a.n.Members()
	out := make([]serve.Audience, len(defs))
	for i, d := range defs {
		out[i] = serve.Audience{Name: d.Name, Description: d.Description, When: d.When, Size: sizes[d.Name]}
	}
	return out
}

// Audience returns one with some of its people.
func (a audiences) Audience(name string, sample int) (out serve.AudienceDetail, ok bool) {
	for _, d := range a.n.rules.Load().Segments.Definitions() {
		if d.Name != name {
			continue
		}
		x := a.n.pipeline.Audience(name, sample)
		out.Audience = serve.Audience{Name: d.Name, Description: d.Description, When: d.When, Size: x.Size}
		out.Sample = x.Sample
		for _, h := range x.Hours {
			out.Hours = append(out.Hours, serve.AudienceHour{At: h.At.String(), Size: h.Size, Entered: h.Entered, Exited: h.Left})
		}
		return out, true
	}
	return out, false
}

// Passages returns what a user entered and left.
func (a audiences) Passages(ctx context.Context, userID string) ([]serve.Membership, []serve.Passage, error) {
	since, past, err := a.n.pipeline.Passages(ctx, userID)
	if err != nil {
		return nil, nil, err
	}
	members := make([]serve.Membership, len(since))
	for i, m := range since {
		members[i] = serve.Membership{Segment: m.Segment, Since: m.Since.String()}
	}
	passages := make([]serve.Passage, 0, len(past))
	for _, p := range slices.Backward(past) {
		event := "exited"
		if p.Entered {
			event = "entered"
		}
		passages = append(passages, serve.Passage{Segment: p.Segment, Event: event, At: p.At.String()})
	}
	return members, passages, nil
}
