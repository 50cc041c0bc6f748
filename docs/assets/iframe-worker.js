// Search runs in a worker, which browsers refuse to pages that are read from files: there its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      const address = new URL(url, document.baseURI).href.replaceAll("&", "&amp;").replaceAll('"', "&quot;")
      this.frame.srcdoc = `<script>
        const own = postMessage.bind(window)
        postMessage = (data, to) => to ? own(data, to) : parent.postMessage(data, "*")
        importScripts = (...urls) => Promise.all(urls.map(each => new Promise((resolve, reject) => {
          const script = document.createElement("script")
          Object.assign(script, {src: each, onload: resolve, onerror: reject})
          document.head.append(script)
        })))
      <\/script><script src="${address}"><\/script>`
      this.frame.addEventListener("load", () => {
        this.ready = true
        this.waiting.splice(0).forEach(data => this.postMessage(data))
      })
      addEventListener("message", event => {
        if (event.source === this.frame.contentWindow) {
          this.dispatchEvent(new MessageEvent("message", {data: event.data}))
        }
      })
      document.body.append(this.frame)
    }

    postMessage(data) {
      if (this.ready) this.frame.contentWindow.postMessage(data, "*")
      else this.waiting.push(data)
    }

    terminate() {
      this.frame.remove()
    }
  }
}
