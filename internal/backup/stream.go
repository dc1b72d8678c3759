package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
)

// What follows is JetStream's API of stream snapshots: the server sends chunks to
// an inbox and waits for answers, or takes chunks as requests. An empty one ends
// either.

const (
	apiSnapshot = "$JS.API.STREAM.SNAPSHOT."
	apiRestore  = "$JS.API.STREAM.RESTORE."
	// chunk is how much travels in a message, in bytes; well below max_payload's
	// default.
	chunk = 128 << 10
	// silence is how long a server may say nothing before it counts as gone.
	silence = time.Minute
)

// apiError is what JetStream answers instead.
type apiError struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.Code) }

// identity is a stream as its server tells it.
type identity struct {
	Config json.RawMessage `json:"config,omitempty"`
	State  json.RawMessage `json:"state,omitempty"`
}

// snapshot writes what a stream holds to w, as its server packs it.
func snapshot(ctx context.Context, nc *nats.Conn, stream string, w io.Writer) (identity, error) {
	var answer struct {
		identity
		Error *apiError `json:"error"`
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return identity{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()             // fails only with the connection
	if err := sub.SetPendingLimits(-1, -1); err != nil { // the server's window is the bound
		return identity{}, err
	}
	request, err := json.Marshal(map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": chunk, "jsck": true})
	if err != nil {
		return identity{}, err
	}
	if err := call(ctx, nc, apiSnapshot+stream, request, &answer); err != nil {
		return identity{}, err
	}
	if answer.Error != nil {
		return identity{}, answer.Error
	}
	for {
		wait, cancel := context.WithTimeout(ctx, silence)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			return identity{}, err
		}
		if status := m.Header.Get("Status"); status != "" && status != "204" {
			return identity{}, fmt.Errorf("the server gave up: %s %s", status, m.Header.Get("Description"))
		}
		if len(m.Data) == 0 {
			return answer.identity, nil
		}
		if _, err := w.Write(m.Data); err != nil {
			return identity{}, err
		}
		if m.Reply == "" {
			continue // the last piece
		}
		if err := m.Respond(nil); err != nil {
			return identity{}, err
		}
	}
}

// restore makes a stream of what snapshot wrote, under the name that it had, with
// another configuration if that is wanted.
func restore(ctx context.Context, nc *nats.Conn, stream string, id identity, r io.Reader) error {
	var answer struct {
		Deliver string    `json:"deliver_subject"`
		Error   *apiError `json:"error"`
	}
	request, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := call(ctx, nc, apiRestore+stream, request, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	buf := make([]byte, chunk)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := hand(ctx, nc, answer.Deliver, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	return hand(ctx, nc, answer.Deliver, nil)
}

// hand gives the server a piece, or with an empty one the end.
func hand(ctx context.Context, nc *nats.Conn, subject string, piece []byte) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, piece)
	if err != nil {
		return err
	}
	if len(m.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

func call(ctx context.Context, nc *nats.Conn, subject string, request []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, request)
	if err != nil {
		return err
	}
	return json.Unmarshal(m.Data, answer)
}
