"use strict";
// Draws each plot when it comes into view, in the colours of the page's theme, and finds columns by name.
(() => {
  const source = document.getElementById("plots");
  const plots = source ? JSON.parse(source.textContent) : {};
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const drawn = new Set();

  function themed(plot) {
    const { data, layout } = structuredClone(plot);
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line") };
    for (const trace of data) {
      if (trace.type === "heatmap") {
        trace.colorscale = [[0, colour("negative")], [0.5, colour("tint")], [1, colour("positive")]];
      } else if (trace.meta === "real" || trace.meta === "synthetic") {
        if (trace.type === "bar") trace.marker = { ...trace.marker, color: colour(trace.meta), line: { width: 0 } };
        else trace.line = { ...trace.line, color: colour(trace.meta) };
      }
    }
    for (const name of ["xaxis", "yaxis"]) layout[name] = { ...axis, ...layout[name] };
    return {
      data,
      layout: {
        showlegend: false,
        margin: { l: 44, r: 8, t: 8, b: 36 },
        ...layout,
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: colour("ink"), family: 'system-ui, "DejaVu Sans", sans-serif', size: 11 },
      },
    };
  }

  function draw(element) {
    const { data, layout } = themed(plots[element.dataset.plot]);
    Plotly.react(element, data, layout, { displayModeBar: false, responsive: true });
    drawn.add(element);
  }

  const charts = [...document.querySelectorAll(".chart")];
  const inView = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "300px" });
  charts.forEach((chart) => inView.observe(chart));
  const again = () => drawn.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // Printed on white, all of them.
  addEventListener("beforeprint", () => charts.forEach(draw));
  addEventListener("afterprint", again);

  for (const finder of document.querySelectorAll(".finder")) {
    const list = document.getElementById(finder.dataset.list);
    const [input, order, said] = ["input", "select", "output"].map((kind) => finder.querySelector(kind));
    const cards = [...list.children];
    const find = () => {
      const wanted = input.value.trim().toLowerCase();
      let count = 0;
      for (const card of cards) {
        card.hidden = !card.dataset.name.toLowerCase().includes(wanted);
        count += !card.hidden;
      }
      said.textContent = wanted ? `${count} of ${cards.length}` : "";
    };
    const arrange = () => {
      const worst = order.value === "worst";
      const arranged = worst ? [...cards].sort((a, b) => b.dataset.error - a.dataset.error) : cards;
      list.append(...arranged);
    };
    input.addEventListener("input", find);
    order.addEventListener("change", arrange);
  }
})();
