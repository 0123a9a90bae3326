package preferences

import (
	"encoding/hex"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/web"
)

// What one link and one network may ask for. A mail scanner opens each link of a
// mail some times, and an office opens a newsletter at once.
const (
	linkRate, linkBurst       = 2, 600
	networkRate, networkBurst = 50, 2000
	wrongRate, wrongBurst     = 2, 200 // links that lead to nobody
)

// limited keeps a handler from being asked too often. What withdraws does not go
// through here: a withdrawal is never refused.
func (s *site) limited(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.mayAsk(w, r) {
			h(w, r)
		}
	}
}

// mayAsk answers whoever asks too often, and returns false.
func (s *site) mayAsk(w http.ResponseWriter, r *http.Request) bool {
	buckets := s.networkBuckets(r, "n", networkRate, networkBurst)
	if token := r.PathValue("token"); token != "" {
		buckets = append(buckets, pace.Bucket{Key: s.bucketKey("l", token), Rate: linkRate, Burst: linkBurst})
	}
	return s.allow(w, r, buckets)
}

func (s *site) allow(w http.ResponseWriter, r *http.Request, buckets []pace.Bucket) bool {
	if s.Limiter == nil || len(buckets) == 0 {
		return true
	}
	ok, wait := s.Limiter.Allow(r.Context(), buckets...)
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(wait, time.Second).Seconds()))))
		s.web.Error(w, r, http.StatusTooManyRequests, "slow")
	}
	return ok
}

// networkBuckets returns the bucket of the network that asks; none for a private
// one: behind a proxy that does not say whom it speaks for, that is everybody.
func (s *site) networkBuckets(r *http.Request, kind string, rate, burst float64) []pace.Bucket {
	network := web.ClientNetwork(r, s.TrustedProxies)
	if a := network.Addr(); !network.IsValid() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a == (netip.Addr{}) {
		return nil
	}
	return []pace.Bucket{{Key: s.bucketKey(kind, network.String()), Rate: rate, Burst: burst}}
}

// bucketKey names a bucket without telling Redis whose it is.
func (s *site) bucketKey(kind, of string) string {
	return "jatak:{pages}:" + kind + ":" + hex.EncodeToString(s.Keyring.Digest("bucket " + of)[:12])
}
