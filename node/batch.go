package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/segment"
	"github.com/attune-io/attune/serve"
)

// everyone decides for all users, one batch at a time. It reads people through
// a small cache of its own: those who are on the site stay in the node's.
type everyone struct {
	n       *Node
	workers int
	busy    atomic.Bool
}

const (
	shareUsers  = 256
	batchPeople = 4 << 20 // bytes of merged people
)

// Everyone returns what decides for all users of a node that does nothing
// else: it takes every core. It has to be called while Run or Work runs, and
// shows what the newest checkpoint knows of: Settle before.
func (n *Node) Everyone() serve.Everyone {
	return &everyone{n: n, workers: runtime.GOMAXPROCS(0)}
}

// Settle waits until everything journaled is folded, and writes a checkpoint.
func (n *Node) Settle(ctx context.Context) error {
	if err := n.caughtUp(ctx); err != nil {
		return err
	}
	if err := n.pipeline.Checkpoint(ctx); err != nil {
		return err
	}
	n.models.Items.Refresh(n.clock())
	return nil
}

// Record runs what journals decisions until ctx ends, then journals the rest.
// Run does it by itself; it is for Work.
func (n *Node) Record(ctx context.Context) error { return n.recorder.Run(ctx) }

// Users counts the users behind an id.
func (e *everyone) Users(ctx context.Context, after string) (count int, err error) {
	err = e.users(ctx, after, func(string) error { count++; return nil })
	return count, err
}

// users calls fn for every user behind an id, in order.
func (e *everyone) users(ctx context.Context, after string, fn func(id string) error) error {
	prefix := identity.UserKey("")
	return e.n.parts.Keys(ctx, prefix, func(key string) error {
		if id := key[len(prefix):]; after == "" || id > after {
			return fn(id)
		}
		return nil
	})
}

// batch is one run. What it decides with stays the same to its end.
type batch struct {
	*serve.EveryoneAsk

	n        *Node
	people   *profile.People
	engine   *recommend.Engine
	segments *segment.Set
	now      attune.Millis
}

// share is a piece on its way; done is closed by the worker that made it.
type share struct {
	serve.Share

	users []string
	done  chan struct{}
}

// Everyone implements serve.Everyone. Users are read in one scan, decided for
// by workers, and handed on in the order of the scan; a few shares a worker
// are in memory at once.
func (e *everyone) Everyone(ctx context.Context, ask *serve.EveryoneAsk, take func(*serve.Share) error) error {
	b, err := e.begin(ask)
	if err != nil {
		return err
	}
	if !e.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("another batch is running; ask again when it is done: %w", attune.ErrBusy)
	}
	defer e.busy.Store(false)
	// scan closes both.
	work, order := make(chan *share, e.workers), make(chan *share, 4*e.workers)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(work)
		defer close(order)
		return e.scan(ctx, ask.After, work, order)
	})
	for range e.workers {
		group.Go(func() error {
			for s := range work {
				if err := b.decide(ctx, s); err != nil {
					return err
				}
				close(s.done)
			}
			return nil
		})
	}
	group.Go(func() error {
		for s := range order {
			select {
			case <-s.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := errors.Join(take(&s.Share), ctx.Err()); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

func (e *everyone) begin(ask *serve.EveryoneAsk) (*batch, error) {
	b := &batch{
		EveryoneAsk: ask, n: e.n, people: profile.NewPeople(e.n.parts, batchPeople),
		engine: e.n.engine.Load(), segments: e.n.rules.Load().Segments, now: e.n.clock(),
	}
	if names := b.engine.Placements(); !slices.Contains(names, ask.Placement) {
		return nil, fmt.Errorf("placement %q: there is none of that name; there are %s: %w", ask.Placement, strings.Join(names, ", "), attune.ErrNotFound)
	}
	if ask.Segment == "" {
		return b, nil
	}
	defs := b.segments.Definitions()
	if !slices.ContainsFunc(defs, func(d segment.Definition) bool { return d.Name == ask.Segment }) {
		names := make([]string, len(defs))
		for i := range defs {
			names[i] = defs[i].Name
		}
		return nil, fmt.Errorf("segment %q: there is none of that name; there are %s: %w", ask.Segment, strings.Join(names, ", "), attune.ErrNotFound)
	}
	return b, nil
}

// scan cuts the users into shares.
func (e *everyone) scan(ctx context.Context, after string, work, order chan<- *share) error {
	s := &share{done: make(chan struct{})}
	send := func() error {
		s.Looked, s.Last = len(s.users), s.users[len(s.users)-1]
		for _, to := range [...]chan<- *share{order, work} {
			select {
			case to <- s:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		s = &share{done: make(chan struct{}), users: make([]string, 0, shareUsers)}
		return nil
	}
	err := e.users(ctx, after, func(id string) error {
		if s.users = append(s.users, id); len(s.users) < shareUsers {
			return nil
		}
		return send()
	})
	if err != nil || len(s.users) == 0 {
		return err
	}
	return send()
}

// decide answers for the users of s.
func (b *batch) decide(ctx context.Context, s *share) error {
	for _, id := range s.users {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := b.people.User(ctx, id)
		if err != nil {
			return fmt.Errorf("read user %q: %w", id, err)
		}
		if p.Empty() {
			continue // all that is known of her is that somebody named her
		}
		segments := b.segments.Evaluate(p, b.now)
		if b.Segment != "" && !slices.Contains(segments, b.Segment) {
			continue
		}
		one := serve.Served{UserID: id}
		if b.Log {
			one.DecisionID = serve.NewID(b.now)
		}
		one.Answer = b.engine.Decide(&recommend.Query{
			Placement: b.Placement, Person: p, Segments: segments, Now: b.now, Limit: b.Limit,
			Seed: attune.Hash(b.Placement + " " + id + " " + one.DecisionID),
		})
		if one.Answer == nil {
			one.Answer = &attune.Answer{Fallback: "none"}
		}
		if b.Log {
			if err := b.record(ctx, &one, p, segments); err != nil {
				return err
			}
		}
		s.Served = append(s.Served, one)
	}
	return nil
}

// recordPatience is the pause while the recorder's queue is full.
const recordPatience = 5 * time.Millisecond

// record hands an answer to the recorder, whose queue is emptied as fast as the
// journal takes it.
func (b *batch) record(ctx context.Context, one *serve.Served, p *profile.Person, segments []string) error {
	answer := *one.Answer
	answer.Items = slices.Clone(answer.Items) // whoever takes the answer may change its own
	d := &attune.DecisionLog{
		Decision: attune.Decision{
			ID: one.DecisionID, ProfileVersion: p.Version, Placements: map[string]*attune.Answer{b.Placement: &answer},
		},
		Segments: segments, UserID: one.UserID, At: b.now,
	}
	for !b.n.recorder.Logged(d, p) {
		if err := sleep(ctx, recordPatience); err != nil {
			b.n.log.Warn("a batch ended before all its answers were logged", slog.String("placement", b.Placement))
			return err
		}
	}
	return nil
}
