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

// ParseReplyCode reads a code that a mail may have failed with: 550, 5.7.1, or 5.7
// for all that begin with it. "" is the zero value.
func ParseReplyCode(text string) (ReplyCode, error) {
	if text == "" {
		return ReplyCode{}, nil
	}
	bad := fmt.Errorf("%q is no reply code of a failed mail; write a basic one such as 550, an enhanced one such as 5.7.1, or a class such as 5.7", text)
	if text[0] != '4' && text[0] != '5' {
		return ReplyCode{}, bad
	}
	parts := strings.Split(text, ".")
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 10)
		if err != nil || n > 999 || strconv.FormatUint(n, 10) != part || i == 0 && len(parts) > 1 && n > 5 {
			return ReplyCode{}, bad
		}
		if len(parts) == 1 && n >= 400 && n <= 559 { // RFC 5321 section 4.2
			return ReplyCode{Basic: int(n)}, nil
		}
	}
	if len(parts) != 2 && len(parts) != 3 {
		return ReplyCode{}, bad
	}
	return ReplyCode{Enhanced: text}, nil
}

// String is what ParseReplyCode reads.
func (c ReplyCode) String() string {
	if c.Basic != 0 {
		return strconv.Itoa(c.Basic)
	}
	return c.Enhanced
}
