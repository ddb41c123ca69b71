package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// settings are the flags that lie over a configuration file.
type settings struct {
	Config  string `help:"Configuration file (YAML). Without one the defaults hold; then keys come from --dev." placeholder:"FILE" type:"path"`
	DataDir string `help:"Folder of all state." placeholder:"DIR" type:"path"`
	Listen  string `help:"Address of the public API." placeholder:"ADDR"`
	Admin   string `help:"Address of metrics and profiles; 'off' for none." placeholder:"ADDR"`
	Dev     bool   `help:"Well-known keys for trying out: write key 'dev', server secret 'dev-secret'. Loopback only."`
}

// read gives the configuration with the flags laid over it. The error lists
// every fault, each with file and line.
func (s *settings) read() (config.Config, error) {
	var text []byte
	if s.Config != "" {
		var err error
		if text, err = os.ReadFile(s.Config); err != nil {
			return config.Config{}, fmt.Errorf("%w; `attune init` writes one", err)
		}
	}
	cfg, err := config.Load(text, os.LookupEnv, func(c *config.Config) {
		if s.DataDir != "" {
			c.DataDir = s.DataDir
		}
		if s.Listen != "" {
			c.Listen = s.Listen
		}
		switch s.Admin {
		case "":
		case "off":
			c.AdminListen = ""
		default:
			c.AdminListen = s.Admin
		}
		c.Dev = c.Dev || s.Dev
	})
	if err != nil && s.Config != "" {
		return cfg, fmt.Errorf("%s:\n%w", s.Config, err)
	}
	return cfg, err
}

// logger returns the process's logger and its level.
func logger(a *app, l config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	_ = level.UnmarshalText([]byte(l.Level)) // it is valid
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(a.stderr, o)), level
	}
	return slog.New(slog.NewJSONHandler(a.stderr, o)), level
}

type serveCommand struct{ settings }

// Run serves until a signal.
func (c *serveCommand) Run(a *app) error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	// Before anything is written: a port in use leaves no data directory behind.
	if err := free(a.ctx, cfg.Listen, "--listen 127.0.0.1:8090"); err != nil {
		return err
	}
	if cfg.AdminListen != "" {
		if err := free(a.ctx, cfg.AdminListen, "--admin 127.0.0.1:8091"); err != nil {
			return err
		}
	}
	log, level := logger(a, cfg.Log)
	tuneMemory(a.ctx, &cfg)
	n, err := node.Open(a.ctx, cfg, node.Options{
		Log: log, Level: level, File: c.Config, Read: c.read,
		Ready: func(address string) {
			if cfg.Dev {
				fmt.Fprintf(a.stdout, "attune is at http://%s (console: http://%s/console, write key %s, server secret %s)\n",
					address, address, config.DevWriteKey, config.DevServerSecret)
			}
		},
	})
	if err != nil {
		return err
	}
	return n.Run(a.ctx)
}

type initCommand struct {
	File  string `arg:"" optional:"" default:"attune.yaml" help:"Where to write it." type:"path"`
	Force bool   `help:"Overwrite a file that is there."`
}

// Run writes the starter file. Its keys are secrets, so only the owner reads it.
func (c *initCommand) Run(a *app) error {
	text, err := config.Starter(rand.Reader)
	if err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(c.File, flags, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; --force overwrites it, and its keys are gone then", c.File)
	}
	if err != nil {
		return err
	}
	// A file that was there keeps its mode when it is opened, and it may be one
	// that others read.
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "wrote %s with fresh keys. Next: attune serve --config %s\n", c.File, typed(c.File))
	return nil
}

// typed is path as one would type it here: its name alone when it is in this
// folder.
func typed(path string) string {
	if here, err := os.Getwd(); err == nil && filepath.Dir(path) == here {
		return filepath.Base(path)
	}
	return path
}

type validateCommand struct {
	File string `arg:"" help:"Configuration file." type:"path"`
}

// Run lists every fault at once.
func (c *validateCommand) Run(a *app) error {
	s := settings{Config: c.File}
	if _, err := s.read(); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s is fine\n", c.File)
	return nil
}

type versionCommand struct{}

// Run prints the version the build was given, the commit when it knows it, and
// the Go that made it.
func (*versionCommand) Run(a *app) error {
	version, revision, changed, compiler := "devel", "", "", runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = "commit " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = ", changed since"
			}
		}
	}
	if revision == "" {
		revision = "commit not known: built outside of its repository"
	}
	_, err := fmt.Fprintf(a.stdout, "attune %s (%s%s; %s)\n", version, revision, changed, compiler)
	return err
}
