// Sluice is a live streaming server: encoders publish by RTMP, players take
// the stream as HTTP-FLV or WebSocket-FLV, and anything live can be recorded.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitClean   = 0
	exitFailure = 1
	exitUsage   = 2 // of the command line, or of the configuration
)

func main() {
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		stop(fmt.Errorf("signal: %v", <-signals))
		<-signals // a second one is impatience
		os.Exit(exitFailure)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// cli is the command line.
type cli struct {
	File      string   `name:"config" short:"c" placeholder:"FILE" help:"Configuration file. Without it: ./sluice.yaml, else /etc/sluice/sluice.yaml, else defaults."`
	Set       []string `name:"set" sep:"none" placeholder:"SECTION.KEY=VALUE" help:"Sets one key of the configuration. May be repeated."`
	LogLevel  string   `name:"log-level" enum:",debug,info,warn,error" default:"" placeholder:"LEVEL" help:"The least level that is logged: debug, info, warn or error."`
	LogFormat string   `name:"log-format" enum:",text,json" default:"" placeholder:"FORMAT" help:"How events are logged: text or json."`

	Serve   serveCmd   `cmd:"" default:"1" help:"Serve. This is what sluice does without a command."`
	Demo    demoCmd    `cmd:"" help:"Serve, and publish a built-in moving picture with sound as live/demo."`
	Publish publishCmd `cmd:"" help:"Publish an FLV file in real time, as an encoder would."`
	Bench   benchCmd   `cmd:"" help:"Measure any server that takes RTMP and gives out HTTP-FLV."`
	Repair  repairCmd  `cmd:"" help:"Make FLV files whole that were cut off, or that have no duration or index."`
	MP4     mp4Cmd     `cmd:"" name:"mp4" help:"Make an MP4 file of an FLV file, without encoding it anew."`
	Config  configCmd  `cmd:"" help:"Print the configuration in force, secrets hidden, or what is wrong with it."`
	Version versionCmd `cmd:"" help:"Print the version and the modules of this binary."`
}

// world is what a command may touch.
type world struct {
	cli            *cli
	env            []string
	stdout, stderr io.Writer
}

// errUsage is wrapped by errors about the command line and the configuration.
var errUsage = errors.New("usage")

// usageError is an [errUsage] that shows the text of its cause alone.
type usageError struct{ cause error }

func (e usageError) Error() string   { return e.cause.Error() }
func (e usageError) Unwrap() []error { return []error{e.cause, errUsage} }

// exited leaves the parser when it has answered by itself, to --help.
type exited int

// run is the program. It returns its exit code.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) (code int) {
	var c cli
	p, err := kong.New(&c,
		kong.Name("sluice"),
		kong.Description("A live streaming server: RTMP in, HTTP-FLV and WebSocket-FLV out."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "sluice:", err)
		return exitFailure
	}
	defer func() {
		v := recover()
		if e, ok := v.(exited); ok {
			code = int(e)
		} else if v != nil {
			panic(v)
		}
	}()

	k, err := p.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "sluice: %v; see sluice --help\n", err)
		return exitUsage
	}
	err = k.Run(&world{&c, env, stdout, stderr})
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "sluice:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "sluice:", err)
	return exitFailure
}
