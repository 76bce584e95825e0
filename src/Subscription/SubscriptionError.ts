/**
 * What an operation on a persistent subscription can answer instead of a result.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * A persistent subscription of this name exists already; it was left as it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class SubscriptionExists extends Schema.TaggedError<SubscriptionExists>()("SubscriptionExists", {
  subscription: Schema.String
}) {
  override get message(): string {
    return `The subscription ${this.subscription} exists already`
  }
}

/**
 * There is no persistent subscription of this name.
 *
 * @category errors
 * @since 0.1.0
 */
export class SubscriptionNotFound extends Schema.TaggedError<SubscriptionNotFound>()("SubscriptionNotFound", {
  subscription: Schema.String
}) {
  override get message(): string {
    return `There is no subscription ${this.subscription}`
  }
}

/**
 * A persistent subscription was removed while a consumer ran. Run it again to create it anew.
 *
 * @category errors
 * @since 0.1.0
 */
export class SubscriptionRemoved extends Schema.TaggedError<SubscriptionRemoved>()("SubscriptionRemoved", {
  subscription: Schema.String
}) {
  override get message(): string {
    return `The subscription ${this.subscription} was removed`
  }
}
