package auth

// MaxRemembered is how many good tokens a Verifier remembers.
const MaxRemembered = maxRemembered

// Forget makes v forget the tokens that it found good.
func Forget(v *Verifier) { v.remembered.tokens.DeleteAll() }
