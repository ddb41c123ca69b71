package node

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/attune-io/attune/config"
)

// settle is how long the file must be still before it is read, since editors
// write in several steps, and patience how long it may keep moving.
const (
	settle   = 100 * time.Millisecond
	patience = time.Second
)

// watch reloads the configuration when its file changes, until ctx ends. It
// watches the folder, because editors and orchestrators replace files.
func (n *Node) watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", n.opt.File, err)
	}
	defer w.Close() //nolint:errcheck // nothing to do about it at the end
	if err := w.Add(filepath.Dir(n.opt.File)); err != nil {
		return fmt.Errorf("watch %s: %w", n.opt.File, err)
	}
	// It is read once now: it may have changed since the start read it.
	still := time.NewTimer(settle)
	defer still.Stop()
	var moving time.Time // since when the file has been moving; zero is not
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			n.log.Warn("watching the configuration", slog.Any("error", err))
		case e := <-w.Events:
			if !n.concerns(e.Name) {
				continue
			}
			if moving.IsZero() {
				moving = time.Now()
			}
			still.Reset(min(settle, max(0, patience-time.Since(moving))))
		case <-still.C:
			moving = time.Time{}
			n.reread()
		}
	}
}

// concerns reports whether a change of name may change the configuration: it is
// the file itself, or the link that orchestrators swing to a new folder of
// files. Whatever else lives beside the file does not count.
func (n *Node) concerns(name string) bool {
	base := filepath.Base(name)
	return base == filepath.Base(n.opt.File) || strings.HasPrefix(base, "..")
}

// reread takes the file's configuration, or refuses it and keeps the old one.
func (n *Node) reread() {
	next, err := n.opt.Read()
	if err == nil {
		err = n.Reload(next)
	}
	if err != nil {
		n.metrics.reloads.WithLabelValues("refused").Inc()
		n.log.Error("refused the configuration; the old one stays", slog.String("file", n.opt.File), slog.Any("error", err))
	}
}

// Reload applies next, which must be valid: what can change while the process
// runs changes at once and together, and what cannot is named in the log. On
// an error nothing has changed.
func (n *Node) Reload(next config.Config) error {
	n.reload.Lock()
	defer n.reload.Unlock()
	old := n.cfg.Load()
	changes := config.Diff(old, &next)
	if len(changes) == 0 {
		return nil
	}
	var later []string
	for _, c := range changes {
		switch c.Effect {
		case config.Migrate:
			return next.Refuse(c.Path, "cannot change on this data directory; start with an empty one")
		case config.Restart, config.Rebuild:
			later = append(later, c.Path)
		case config.Live:
		}
	}
	applied, compiled, waits, err := n.applicable(old, next)
	if err != nil {
		return err
	}
	if waits {
		later = append(later, "segments", "placements")
	}
	applied.Keys.UserTokenSecrets, applied.Keys.VisitorSecret = old.Keys.UserTokenSecrets, old.Keys.VisitorSecret
	secrets := applied.EffectiveKeys()
	if err := n.buildEngine(compiled); err != nil {
		return err
	}
	if err := n.keys.Set(sources(secrets, compiled.Gates), secrets.ServerSecrets); err != nil {
		return err
	}
	n.rules.Store(compiled)
	keys := serveKeys(secrets)
	n.browser.Store(&keys)
	n.server.SetKeys(keys)
	n.server.SetDecider(decider{n.engine.Load()})
	n.cfg.Store(&applied)
	n.outlets.apply(applied.Destinations)
	n.pipeline.SegmentsChanged()
	if n.opt.Level != nil {
		_ = n.opt.Level.UnmarshalText([]byte(next.Log.Level)) // it is valid
	}
	n.metrics.reloads.WithLabelValues("applied").Inc()
	n.log.Info("reloaded the configuration", slog.Int("changes", len(changes)))
	if len(later) > 0 {
		n.log.Warn("some changes wait for a restart", slog.Any("paths", later))
	}
	return nil
}

// applicable returns what of next can hold before a restart, compiled. State is
// folded with the features the process started with, so rules go on to see
// those. Segments and placements that need features which are not there yet
// wait with them, and waits is true; the old ones go on meanwhile.
func (n *Node) applicable(old *config.Config, next config.Config) (applied config.Config, compiled *config.Compiled, waits bool, err error) {
	// What cannot be right with its own features is refused, not put off.
	if _, err := next.Compile(); err != nil {
		return next, nil, false, err
	}
	applied = next
	applied.Features, applied.Defaults.Features, applied.Entities = old.Features, old.Defaults.Features, old.Entities
	compiled, err = applied.Compile()
	if err != nil {
		waits = true
		applied.Segments, applied.Placements, applied.Defaults.Placements = old.Segments, old.Placements, old.Defaults.Placements
		if compiled, err = applied.Compile(); err != nil {
			return next, nil, false, err
		}
	}
	compiled.Features, compiled.Scopes = n.rules.Load().Features, n.rules.Load().Scopes
	return applied, compiled, waits, nil
}
