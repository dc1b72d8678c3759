// Package rules says what domain events mean for a cache: a rule file in YAML
// is compiled once, and every event is then asked of it which keys, tags,
// prefixes and globs die.
//
//	version: 1
//	domains: [shop]                        # where rules that say nothing else apply
//	rules:
//	  - name: price-changed
//	    match: {type: shop.price.*}        # also source, subject, channel, table, operation
//	    when: data.price > 0               # CEL, optional
//	    keys: ["product:{data.id}:price"]  # also tags, prefixes, globs, all
//	    warm: true
//
// Guarantees:
//
//   - A file is valid as a whole or refused as a whole, with line, column and
//     the nearest known name for each fault; an unknown field is a fault.
//   - A field that is missing, null or empty never renders to a shorter name:
//     the template fails with an *[EvalError] that names the field. "Clear all"
//     happens only where a rule says `all: true`.
//   - Where a part of a rule fails, the [Outcome] that comes with the error
//     fences the rule's reach instead, as far as it is known: what it declares
//     under `reach`, else the part of each name before the missing field. The
//     error says whether the reach was known.
//   - A field's text within a glob matches only itself.
//   - Evaluation is a pure function of set and event, safe for concurrent use;
//     its work is bounded by the event's size and the rules' number.
//
// Not promised: that different spellings of one number (1, 1.0, 1e0) render
// alike. They render as they were written.
package rules
