package node

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
)

// settle is how long a file must be still before it is read: editors write in
// several steps.
const settle = 100 * time.Millisecond

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
	still := time.NewTimer(0)
	<-still.C
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			n.log.Warn("watching the configuration", slog.Any("error", err))
		case <-w.Events:
			still.Reset(settle)
		case <-still.C:
			n.reread()
		}
	}
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
			return fmt.Errorf("%s: cannot change on this data directory; start with an empty one: %w", c.Path, attune.ErrInvalid)
		case config.Restart, config.Rebuild:
			later = append(later, c.Path)
		case config.Live:
		}
	}
	// State is folded with the features the process started with, so rules
	// go on to see those.
	applied := next
	applied.Features, applied.Defaults.Features = old.Features, old.Defaults.Features
	compiled, err := applied.Compile()
	if err != nil {
		return err
	}
	compiled.Features = n.rules.Load().Features
	secrets := next.EffectiveKeys()
	if err := n.buildEngine(compiled); err != nil {
		return err
	}
	if err := n.keys.Set(sources(secrets), secrets.ServerSecrets); err != nil {
		return err
	}
	n.rules.Store(compiled)
	keys := serveKeys(secrets)
	n.browser.Store(&keys)
	n.server.SetKeys(keys)
	n.server.SetDecider(decider{n.engine.Load()})
	n.cfg.Store(&applied)
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
