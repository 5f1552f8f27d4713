package auth

// MaxCachedTokens is maxCachedTokens.
const MaxCachedTokens = maxCachedTokens

// ClearTokenCache empties the cache of valid tokens.
func ClearTokenCache(v *Verifier) { v.cache.tokens.DeleteAll() }
