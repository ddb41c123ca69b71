// Command attune is the personalization engine: one binary that collects
// events, keeps live profiles, decides what each person sees, and learns.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/attune-io/attune"
)

// commands is the command line. Each command's Run gets an app.
type commands struct {
	Demo      demoCommand      `cmd:"" help:"Open a shop with real orders on this machine, and see it change for you."`
	Serve     serveCommand     `cmd:"" help:"Run the server."`
	Init      initCommand      `cmd:"" help:"Write a commented starter configuration with fresh keys."`
	Validate  validateCommand  `cmd:"" help:"Check a configuration and list every fault."`
	Import    importCommand    `cmd:"" help:"Read events from files into a node."`
	Recommend recommendCommand `cmd:"" help:"Decide a placement for every user, into a file for e-mail and push tools."`
	Plan      planCommand      `cmd:"" help:"Propose a tracking plan, or check events by one."`
	Replay    replayCommand    `cmd:"" help:"Fold the journal again and compare with the profiles on disk."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// app is what a command works with.
type app struct {
	ctx    context.Context //nolint:containedctx // a command is one call
	stdout io.Writer
	stderr io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0 fine, 1 it did not work, 2 it was called wrongly.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signals()
	defer stop()
	var cmd commands
	code := -1
	parser, err := kong.New(&cmd,
		kong.Name("attune"),
		kong.Description("Attune turns what people do into what they see next: collect events, keep live profiles, decide in about a millisecond."),
		kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Exit(func(c int) { code = c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "attune:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help has printed what was asked for
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "attune: %v\nRun `attune --help` for what there is.\n", err)
		return 2
	}
	if err := parsed.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr}); err != nil {
		fmt.Fprintln(stderr, "attune:", attune.Message(err))
		return 1
	}
	return 0
}

// signals returns a context that the first SIGTERM or SIGINT ends, so that the
// process drains. The second one ends the process.
func signals() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	heard := make(chan os.Signal, 2)
	signal.Notify(heard, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		s := <-heard
		cancel(fmt.Errorf("%s: %w", s, errStopped))
		<-heard
		os.Exit(130)
	}()
	return ctx, func() { signal.Stop(heard); cancel(nil) }
}

// errStopped is the cause of an end that was asked for.
const errStopped = attune.Sentinel("asked to stop")
