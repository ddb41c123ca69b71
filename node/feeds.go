package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/config"
)

// Of a feed.
const (
	maxFeedBytes = 4 << 30
	maxFeedItems = 4 << 20
	feedTimeout  = 10 * time.Minute
	feedBatch    = 500
)

// FeedRead says what became of one reading of a feed.
type FeedRead struct {
	Items    int `json:"items"`    // that the feed has
	Changed  int `json:"changed"`  // of these, new ones or others than before
	Gone     int `json:"gone"`     // that it had before
	Rejected int `json:"rejected"` // rows that could not be used
}

// feedState is what the newest reading had: the hash of each item, by id.
type feedState struct {
	At    attune.Millis     `json:"at"`
	Items map[string]uint64 `json:"items"`
}

// readFeeds reads every feed on its schedule until ctx ends. What was read
// last is remembered over restarts.
func (n *Node) readFeeds(ctx context.Context) error {
	group := errgroup.Group{}
	for _, f := range n.cfg.Load().Feeds {
		group.Go(func() error {
			n.readFeed(ctx, &f)
			return nil
		})
	}
	return group.Wait()
}

func (n *Node) readFeed(ctx context.Context, f *config.Feed) {
	wait := time.Duration(0)
	if state, err := n.feedState(f.Name); err == nil && state.At != 0 {
		wait = max(0, f.Pause()-time.Duration(n.clock()-state.At)*time.Millisecond)
	}
	for {
		if sleep(ctx, min(wait, f.Pause())) != nil {
			return
		}
		read, err := n.Feed(ctx, f, false)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.log.Error("a feed was not taken; the catalog stays as it is", slog.String("feed", f.Name), slog.Any("error", err))
		default:
			n.log.Info("read a feed", slog.String("feed", f.Name), slog.Int("items", read.Items), slog.Int("changed", read.Changed),
				slog.Int("gone", read.Gone), slog.Int("rejected", read.Rejected))
		}
		wait = f.Pause()
	}
}

func (n *Node) feedPath(name, kind string) string {
	return filepath.Join(n.cfg.Load().DataDir, "feeds", name+kind)
}

func (n *Node) feedState(name string) (s feedState, err error) {
	text, err := os.ReadFile(n.feedPath(name, ".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return feedState{}, fmt.Errorf("read what feed %q had: %w", name, err)
	}
	return s, nil
}

// Feed reads f once and journals what changed since it was read last. Broken
// rows are left out, and written with their reasons into feeds/NAME.rejects.ndjson
// of the data directory. A feed that is empty, or that has less than half of
// the items it had, is an error that wraps attune.ErrInvalid, and nothing is
// changed; force takes it all the same. Run or Work has to be running. One call
// a feed at a time.
func (n *Node) Feed(ctx context.Context, f *config.Feed, force bool) (read FeedRead, err error) {
	if err := os.MkdirAll(filepath.Dir(n.feedPath(f.Name, "")), 0o700); err != nil {
		return read, err
	}
	before, err := n.feedState(f.Name)
	if err != nil {
		n.log.Warn("a feed is read as if it were new", slog.String("feed", f.Name), slog.Any("error", err))
	}
	path := f.File
	if f.URL != "" {
		path = n.feedPath(f.Name, ".fetched")
		defer os.Remove(path) //nolint:errcheck // it is fetched anew
		if err := fetch(ctx, f.URL, path); err != nil {
			return read, err
		}
	}
	now := feedState{At: n.clock(), Items: map[string]uint64{}}
	if err := n.lookAtFeed(ctx, f, path, &now, &read); err != nil {
		return read, err
	}
	switch had := len(before.Items); {
	case force:
	case len(now.Items) == 0:
		return read, fmt.Errorf("feed %q has no item that can be used, of %d rows; force takes it: %w", f.Name, read.Rejected, attune.ErrInvalid)
	case 2*len(now.Items) < had:
		return read, fmt.Errorf("feed %q has %d items and had %d; force takes it: %w", f.Name, len(now.Items), had, attune.ErrInvalid)
	}
	if err := n.takeFeed(ctx, f, path, before.Items, now.Items, &read); err != nil {
		return read, err
	}
	text, err := json.Marshal(&now)
	if err != nil {
		return read, fmt.Errorf("encode what feed %q has: %w", f.Name, err)
	}
	// Behind what is durable: a crash before it journals the same once more.
	return read, replace(n.feedPath(f.Name, ".json"), text)
}

// replace writes a file whole.
func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// fetch gets what is at address into a file.
func fetch(ctx context.Context, address, path string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch from %s: it answered %s", req.URL.Host, res.Status)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // below our own folder
	if err != nil {
		return err
	}
	got, err := io.Copy(out, io.LimitReader(res.Body, maxFeedBytes+1))
	if err == nil && got > maxFeedBytes {
		err = fmt.Errorf("fetch from %s: it is larger than %d bytes: %w", req.URL.Host, int64(maxFeedBytes), attune.ErrInvalid)
	}
	return errors.Join(err, out.Close())
}

// eachFeedItem calls good for every item, and bad for every row that is none.
func eachFeedItem(ctx context.Context, f *config.Feed, path string, good func(*attune.Item) error, bad func(*file.Fault) error) error {
	in, err := file.Open(path, file.Options{Format: file.Format(f.Format)})
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := in.Next()
		var fault *file.Fault
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &fault):
			err = bad(fault)
		case err == nil:
			if _, said := row.Item.Attributes["in_stock"]; !said && f.Gone != config.GoneKeep {
				row.Item.Attributes["in_stock"] = true // it may have been gone before
			}
			err = good(row.Item)
		}
		if err != nil {
			return fmt.Errorf("read feed %q: %w", f.Name, err)
		}
	}
}

func hashOf(it *attune.Item) (uint64, error) {
	text, err := json.Marshal(it)
	if err != nil {
		return 0, fmt.Errorf("encode item %q: %w", it.ID, err)
	}
	return attune.Hash(string(text)), nil
}

// lookAtFeed reads the whole feed before anything of it is taken.
func (n *Node) lookAtFeed(ctx context.Context, f *config.Feed, path string, now *feedState, read *FeedRead) (err error) {
	to := n.feedPath(f.Name, ".rejects.ndjson")
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // below our own folder
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	defer func() { err = errors.Join(err, w.Flush(), out.Close()) }()
	rejects := json.NewEncoder(w)
	bad := func(fault *file.Fault) error {
		read.Rejected++
		return rejects.Encode(map[string]any{"row": fault.Row, "reason": fault.Reason, "raw": fault.Raw})
	}
	err = eachFeedItem(ctx, f, path, func(it *attune.Item) error {
		if _, twice := now.Items[it.ID]; twice {
			return bad(&file.Fault{Reason: fmt.Sprintf("item %q is there twice; the first one counts", it.ID)})
		}
		if len(now.Items) >= maxFeedItems {
			return fmt.Errorf("it has more than %d items: %w", maxFeedItems, attune.ErrInvalid)
		}
		h, err := hashOf(it)
		now.Items[it.ID] = h
		return err
	}, bad)
	read.Items = len(now.Items)
	return err
}

// putItems journals items, again and again while the journal is busy.
func (n *Node) putItems(ctx context.Context, items []attune.Item) error {
	sink := n.Sink("")
	for {
		err := sink.Items(ctx, items)
		if !errors.Is(err, attune.ErrBusy) {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// takeFeed journals what changed, then what is gone.
func (n *Node) takeFeed(ctx context.Context, f *config.Feed, path string, before, now map[string]uint64, read *FeedRead) error {
	var batch []attune.Item
	put := func(it *attune.Item) error {
		if it != nil {
			batch = append(batch, *it)
		}
		if len(batch) == 0 || it != nil && len(batch) < feedBatch {
			return nil
		}
		defer func() { batch = batch[:0] }()
		return n.putItems(ctx, batch)
	}
	err := eachFeedItem(ctx, f, path, func(it *attune.Item) error {
		h, err := hashOf(it)
		if was, known := before[it.ID]; err != nil || now[it.ID] != h || known && was == h {
			return err
		}
		read.Changed++
		return put(it)
	}, func(*file.Fault) error { return nil })
	if err != nil {
		return err
	}
	var gone []string
	for id := range before {
		if _, there := now[id]; !there {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	read.Gone = len(gone)
	for _, id := range gone {
		it := attune.Item{ID: id, Attributes: map[string]any{"in_stock": false}}
		switch f.Gone {
		case config.GoneKeep:
			continue
		case config.GoneDelete:
			it = attune.Item{ID: id, Deleted: true}
		}
		if err := put(&it); err != nil {
			return err
		}
	}
	return put(nil)
}
