package history

import (
	"fmt"
	"io"

	"github.com/anishathalye/porcupine"
)

// Wrong is a history that porcupine found to be wrong, or couldn't decide.
type Wrong struct {
	text    string
	spec    porcupine.Model
	history []porcupine.Operation
}

func (w *Wrong) Error() string { return w.text }

// Picture writes porcupine's drawing of the history, an HTML page of its own. It
// judges once more, for as long as the first time at most.
func (w *Wrong) Picture(out io.Writer) error {
	spec := w.spec
	spec.DescribeOperation = func(in, _ any) string {
		i := in.(input)
		if i.settles {
			return fmt.Sprintf("%d is everywhere", i.Value)
		}
		return i.label()
	}
	_, info := porcupine.CheckOperationsVerbose(spec, w.history, patience)
	return porcupine.Visualize(spec, info, out)
}

// label is an operation in a few words.
func (o Op) label() string {
	switch {
	case o.Outcome == Miss:
		return "miss"
	case o.Kind == Read && o.Level != "":
		return fmt.Sprintf("%s → %d", o.Level, o.Value)
	case o.Kind == Read || o.Kind == Query:
		return fmt.Sprintf("query → %d", o.Value)
	case o.Kind == Write:
		return fmt.Sprintf("write %d", o.Value)
	}
	return "invalidate"
}
