package campaign

import (
	"fmt"
	"strconv"
	"strings"
)

// ReplyCode picks mails by what a relay replied. The zero value picks all.
type ReplyCode struct {
	Basic    int    // of RFC 5321, such as 550; 0: any
	Enhanced string // of RFC 3463, such as 5.7.1, or its beginning, such as 5.7; "": any
}

// ParseReplyCode reads a code that a mail may have failed with: 550, 5.7.1, 5.7 for
// all that begin with it, or both as they stand in a reply, 550 5.7.1. "" is the
// zero value.
func ParseReplyCode(text string) (c ReplyCode, err error) {
	if text == "" {
		return c, nil
	}
	basic, enhanced, both := strings.Cut(text, " ")
	if !both && strings.Contains(text, ".") {
		basic, enhanced = "", text
	}
	ok := true
	if basic != "" || both {
		c.Basic, ok = basicCode(basic)
	}
	if c.Enhanced = enhanced; !ok || (enhanced != "" || both) && !isEnhanced(enhanced) {
		return ReplyCode{}, fmt.Errorf("%q is no reply code of a failed mail; write a basic one such as 550, an enhanced one such as 5.7.1, a class such as 5.7, or 550 5.7.1", text)
	}
	return c, nil
}

// basicCode reads a code of a refusal (RFC 5321 section 4.2).
func basicCode(text string) (code int, ok bool) {
	n, err := strconv.ParseUint(text, 10, 10)
	return int(n), err == nil && len(text) == 3 && n >= 400 && n <= 559
}

// isEnhanced reports whether text is a code of a refusal (RFC 3463 section 2), or two
// parts of one.
func isEnhanced(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if n, err := strconv.ParseUint(part, 10, 10); err != nil || n > 999 || strconv.FormatUint(n, 10) != part {
			return false
		}
	}
	return (parts[0] == "4" || parts[0] == "5") && (len(parts) == 2 || len(parts) == 3)
}

// String is what ParseReplyCode reads.
func (c ReplyCode) String() string {
	if c.Basic == 0 {
		return c.Enhanced
	}
	return strings.TrimSpace(strconv.Itoa(c.Basic) + " " + c.Enhanced)
}
