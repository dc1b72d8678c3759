package consistency

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Point is a place in one partition's log.
type Point struct {
	Epoch    events.Epoch
	Position events.Position
}

// Token is what a session has seen: a [Point] for each partition that it has
// touched. It is a value: its methods return new tokens. The zero Token has
// seen nothing. Its string is opaque, short and safe in headers and URLs.
type Token struct {
	// points by partition; the zero Point for partitions not touched.
	points []Point
}

const tokenVersion = 1

// maxPartitions bounds what a token from outside may make us allocate.
const maxPartitions = 64

// ErrToken reports a text that is no token.
var ErrToken = errors.New("malformed session token")

// Empty reports whether the token has seen nothing.
func (t Token) Empty() bool { return len(t.points) == 0 }

// At returns what the token has seen of a partition.
func (t Token) At(partition int) Point {
	if partition < len(t.points) {
		return t.points[partition]
	}
	return Point{}
}

// With returns t advanced to p in one partition. A point of another epoch
// replaces what was there: whoever saw it saw it later.
func (t Token) With(partition int, p Point) Token {
	if p == (Point{}) {
		return t
	}
	if old := t.At(partition); old.Epoch == p.Epoch && (old.Position >= p.Position || mutant.On(mutant.TokenStandsStill)) {
		return t
	}
	points := make([]Point, max(len(t.points), partition+1))
	copy(points, t.points)
	points[partition] = p
	return Token{points: points}
}

// Join returns what both have seen. Where they know different epochs of a
// partition, other's point stands.
func (t Token) Join(other Token) Token {
	for i, p := range other.points {
		t = t.With(i, p)
	}
	return t
}

// String returns the token's text; "" for the zero Token.
func (t Token) String() string {
	if len(t.points) == 0 {
		return ""
	}
	b := []byte{tokenVersion}
	b = msgp.AppendArrayHeader(b, uint32(len(t.points)))
	for _, p := range t.points {
		b = msgp.AppendUint64(b, uint64(p.Epoch))
		b = msgp.AppendUint64(b, uint64(p.Position))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what [Token.String] wrote. Every error wraps [ErrToken].
func ParseToken(s string) (Token, error) {
	if s == "" {
		return Token{}, nil
	}
	if len(s) > 32*maxPartitions {
		return Token{}, fmt.Errorf("%w: %d characters", ErrToken, len(s))
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 2 {
		return Token{}, fmt.Errorf("%w: not base64", ErrToken)
	}
	if b[0] != tokenVersion {
		return Token{}, fmt.Errorf("%w: version %d, this build knows %d", ErrToken, b[0], tokenVersion)
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b[1:])
	if err != nil || n == 0 || n > maxPartitions {
		return Token{}, fmt.Errorf("%w: number of partitions", ErrToken)
	}
	t := Token{points: make([]Point, n)}
	for i := range t.points {
		var epoch, position uint64
		if epoch, b, err = msgp.ReadUint64Bytes(b); err == nil {
			position, b, err = msgp.ReadUint64Bytes(b)
		}
		if err != nil {
			return Token{}, fmt.Errorf("%w: partition %d", ErrToken, i)
		}
		t.points[i] = Point{Epoch: events.Epoch(epoch), Position: events.Position(position)}
	}
	if len(b) != 0 {
		return Token{}, fmt.Errorf("%w: %d bytes behind its end", ErrToken, len(b))
	}
	return t, nil
}
