// Command tercet makes and inspects domains, reads and writes values, and
// publishes domain events.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := newApp(os.Stdin, os.Stdout, os.Stderr).command().ExecuteContext(ctx)
	code := exitCode(ctx, err)
	stop()
	if err != nil && code != codeInterrupted {
		fmt.Fprintf(os.Stderr, "tercet: %v\n", err)
		if hint := hintFor(err); hint != "" {
			fmt.Fprintf(os.Stderr, "  %s\n", hint)
		}
	}
	os.Exit(code)
}
